// Where a place in the bundle lies in the author's files, by the bundle's source map (version 3, sections are not used).

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * Returns `{ source, line, column }`, lines and columns counted from 1, or `undefined` for code that is not the author's.
 *
 * `map` is `{ file, sources, mappings, ignored }`: the bundle's name, and the indexes of sources that are not the author's.
 */
export function originalPlace(map, file, line, column) {
  if (!map || !(file === map.file || file.endsWith(`/${map.file}`))) return undefined;
  let best;
  for (const [at, source, sourceLine, sourceColumn] of segments(map.mappings, line)) {
    if (at > column - 1 && best) break;
    best = { source, line: sourceLine + 1, column: sourceColumn + 1 };
  }
  if (!best || map.ignored.includes(best.source)) return undefined;
  return { ...best, source: map.sources[best.source] };
}

/** Returns the segments of one line of the bundle: [column, source, line, column there]. Each number is a difference. */
function segments(mappings, wanted) {
  const found = [];
  const state = [0, 0, 0, 0];
  const lines = mappings.split(";");
  for (let line = 1; line <= Math.min(wanted, lines.length); line++) {
    state[0] = 0;
    for (const segment of lines[line - 1].split(",")) {
      const numbers = decode(segment);
      numbers.slice(0, 4).forEach((difference, i) => (state[i] += difference));
      if (line === wanted && numbers.length >= 4) found.push([...state]);
    }
  }
  return found;
}

/** Reads base 64 digits of five bits, the lowest first; the sixth says that more follow, the very first is the sign. */
function decode(segment) {
  const numbers = [];
  let value = 0;
  let shift = 0;
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value += (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return numbers;
}
