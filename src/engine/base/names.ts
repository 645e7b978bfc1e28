/**
 * Names that a recorded program chose (of files, threads, arguments) are bytes, most often UTF-8 but not always. As
 * strings they keep every byte: one that is not part of valid UTF-8 becomes a lone surrogate, U+DC00 plus its value,
 * as Python's `surrogateescape` does. JSON writes it as `\udcff`, `printable` as `\xff`.
 */

const ESCAPE = 0xdc00;

/** Bytes as text, from which `nameBytes` makes the same bytes again. */
export function nameOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('utf8');
  return text.includes('\ufffd') ? decode(buffer) : text;
}

function decode(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes[at]);
    const sequence = bytes.subarray(at, at + length);
    const decoded = sequence.toString('utf8');
    // Invalid, truncated, overlong sequences and surrogates do not round-trip.
    if (length > 0 && sequence.length === length && Buffer.from(decoded).equals(sequence)) {
      text += decoded;
      at += length;
    } else {
      text += String.fromCharCode(ESCAPE + bytes[at]);
      at++;
    }
  }
  return text;
}

/** Length of the UTF-8 sequence that begins with this byte; 0: none does. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc0) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf8 ? 4 : 0;
}

const ESCAPED = /[\udc80-\udcff]/u;
const ESCAPED_OR_REST = /[\udc80-\udcff]|[^\udc80-\udcff]+/gu;

/** The bytes that `nameOf` made the text of; of other text its UTF-8. */
export function nameBytes(text: string): Buffer {
  if (!ESCAPED.test(text)) return Buffer.from(text, 'utf8');
  const parts = text.match(ESCAPED_OR_REST) ?? [];
  return Buffer.concat(
    parts.map((part) => (ESCAPED.test(part) ? Buffer.of(part.charCodeAt(0) - ESCAPE) : Buffer.from(part))),
  );
}

/** Not allowed on a terminal: control characters, those that reorder text, bytes that are not UTF-8. */
const UNPRINTABLE =
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;

/** The text with such characters as `\xNN`. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, hexadecimal);

function hexadecimal(character: string): string {
  const code = character.charCodeAt(0);
  const byte = ESCAPED.test(character) ? code - ESCAPE : code;
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Characters that XML 1.0 does not allow, not even escaped (section 2.2). */
const NOT_XML = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

/**
 * An attribute's value or text of an XML document, which has to be UTF-8. Characters that are not allowed are written
 * as by `printable`.
 */
export function xmlText(text: string): string {
  return text
    .replace(NOT_XML, hexadecimal)
    .replace(/[&<>"'\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}
