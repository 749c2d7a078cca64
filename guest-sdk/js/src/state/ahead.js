// Reading ahead: the state that a whole batch will need, with one call to the host.
//
// A transform that reads one key a change asks its host once a change, and the host may have to ask a database. When it
// can tell from a change which keys it will read, a function beside the table's says so. It is a hint and no more: what
// it does not name is read when it is needed, and what it names in vain does no harm.

import * as overlay from "./overlay.js";

/** How many bytes of keys are asked for at once. */
const KEY_BYTES_MAX = 1 << 20;

/** Takes the keys that a batch will read. */
export class Ahead {
  #entries = [];
  #bytes = 0;

  /** Names a key that will be read. */
  read(map, key) {
    if (this.#bytes >= KEY_BYTES_MAX) return;
    const entry = map.entryOf(key);
    this.#bytes += entry.key.length;
    this.#entries.push(entry);
  }

  /** Reads them all. */
  fetch() {
    overlay.fetch(this.#entries);
  }
}
