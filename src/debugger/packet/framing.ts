/**
 * Packets of the gdb remote serial protocol as bytes: `$body#checksum`, `}` escapes, run-length encoding on
 * output, acknowledgements, and the byte 0x03 that interrupts (gdb manual, appendix "Overview" of the protocol).
 *
 * Bodies are latin1 strings: one character per byte, for text and binary data alike.
 */

/** Most bytes of one packet's body, in both directions; sent to the client in the qSupported reply. */
export const MAX_PACKET = 0x40000;

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const STAR = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const INTERRUPT = 0x03;

export type Incoming =
  | { readonly kind: 'packet'; readonly body: string }
  /** A packet with a wrong checksum: a retransmission is requested. */
  | { readonly kind: 'bad' }
  | { readonly kind: 'ack' }
  | { readonly kind: 'nack' }
  | { readonly kind: 'interrupt' }
  /** More than MAX_PACKET bytes without an end: the peer does not speak this protocol. */
  | { readonly kind: 'flood' };

/** Turns bytes into packets, however the bytes are split into chunks. */
export class PacketParser {
  private body: Buffer = Buffer.alloc(4096);
  private length = 0;
  private state: 'outside' | 'body' | 'checksum1' | 'checksum2' = 'outside';
  private sum = 0;
  private firstDigit = 0;

  /** What `bytes` complete, in order. Bytes outside of packets are passed over, as gdb's own stub does. */
  feed(bytes: Uint8Array): Incoming[] {
    const found: Incoming[] = [];
    for (const byte of bytes) {
      const item = this.take(byte);
      if (item) found.push(item);
    }
    return found;
  }

  private take(byte: number): Incoming | null {
    switch (this.state) {
      case 'outside':
        return this.outside(byte);
      case 'body':
        return this.inBody(byte);
      case 'checksum1':
        this.firstDigit = byte;
        this.state = 'checksum2';
        return null;
      case 'checksum2':
        this.state = 'outside';
        return this.end(byte);
    }
  }

  private outside(byte: number): Incoming | null {
    if (byte === DOLLAR) this.begin();
    else if (byte === INTERRUPT) return { kind: 'interrupt' };
    else if (byte === PLUS) return { kind: 'ack' };
    else if (byte === MINUS) return { kind: 'nack' };
    return null;
  }

  private begin(): void {
    this.state = 'body';
    this.length = this.sum = 0;
  }

  private inBody(byte: number): Incoming | null {
    if (byte === HASH) {
      this.state = 'checksum1';
      return null;
    }
    // An unescaped `$` in a packet: the rest of that packet was lost, and the next one begins here.
    if (byte === DOLLAR) {
      this.begin();
      return null;
    }
    if (this.length === MAX_PACKET) {
      this.state = 'outside';
      return { kind: 'flood' };
    }
    if (this.length === this.body.length) this.body = Buffer.concat([this.body], this.body.length * 2);
    this.body[this.length++] = byte;
    this.sum = (this.sum + byte) & 0xff;
    return null;
  }

  private end(secondDigit: number): Incoming {
    const expected = Number.parseInt(String.fromCharCode(this.firstDigit, secondDigit), 16);
    if (expected !== this.sum) return { kind: 'bad' };
    return { kind: 'packet', body: unescape(this.body.subarray(0, this.length)) };
  }
}

/** Undoes `}` escapes: the next byte XOR 0x20. */
function unescape(bytes: Buffer): string {
  if (!bytes.includes(ESCAPE)) return bytes.toString('latin1');
  const plain = Buffer.alloc(bytes.length);
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    plain[length++] = bytes[i] === ESCAPE && i + 1 < bytes.length ? bytes[++i] ^ 0x20 : bytes[i];
  }
  return plain.toString('latin1', 0, length);
}

const mustEscape = (byte: number): boolean =>
  byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === STAR;

/** Largest repeat count: 29 + 97 = `~`, the last printable character. */
const MAX_REPEATS = 97;
/** Counts that would be the bytes `#` and `$`. */
const HASH_REPEATS = HASH - 29;
const DOLLAR_REPEATS = DOLLAR - 29;

/** A packet with checksum, ready to be sent; runs of equal bytes are encoded. */
export function encodePacket(body: string): Buffer {
  const out: number[] = [DOLLAR];
  const source = Buffer.from(body, 'latin1');
  for (let at = 0; at < source.length;) {
    const byte = source[at];
    if (mustEscape(byte)) {
      out.push(ESCAPE, byte ^ 0x20);
      at++;
      continue;
    }
    out.push(byte);
    let repeats = 0;
    while (repeats < MAX_REPEATS && source[at + 1 + repeats] === byte) repeats++;
    if (repeats === HASH_REPEATS || repeats === DOLLAR_REPEATS) repeats = HASH_REPEATS - 1;
    // Three characters for fewer than four bytes save nothing.
    if (repeats < 3) repeats = 0;
    else out.push(STAR, repeats + 29);
    at += 1 + repeats;
  }
  let sum = 0;
  for (let i = 1; i < out.length; i++) sum = (sum + out[i]) & 0xff;
  return Buffer.concat([Buffer.from(out), Buffer.from(`#${sum.toString(16).padStart(2, '0')}`)]);
}
