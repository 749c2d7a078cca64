/** Something that the author can mend, and how. */
export class Trouble extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}
