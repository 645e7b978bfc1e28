import { describe, expect, it } from 'vitest';
import { encodePacket, MAX_PACKET, PacketParser, type Incoming } from './framing.js';

const feed = (parser: PacketParser, text: string): Incoming[] => parser.feed(Buffer.from(text, 'latin1'));
const packet = (body: string): Incoming => ({ kind: 'packet', body });

describe('incoming packets', () => {
  it('come out whole however they were cut', () => {
    const parser = new PacketParser();
    expect(feed(parser, '+$qC#b')).toEqual([{ kind: 'ack' }]);
    expect(feed(parser, '4$g#67-')).toEqual([packet('qC'), packet('g'), { kind: 'nack' }]);
  });

  it('may hold any byte, escaped', () => {
    const body = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('');
    const parser = new PacketParser();
    // Incoming packets are never run-length encoded: the body has no runs.
    expect(parser.feed(encodePacket(body))).toEqual([packet(body)]);
  });

  it('are asked for again when the checksum is wrong', () => {
    expect(feed(new PacketParser(), '$qC#00$qC#zz$g#67')).toEqual([
      { kind: 'bad' },
      { kind: 'bad' },
      packet('g'),
    ]);
  });

  it('are distinguished from Ctrl-C, which is a separate byte', () => {
    expect(feed(new PacketParser(), '\x03$g#67\x03')).toEqual([
      { kind: 'interrupt' },
      packet('g'),
      { kind: 'interrupt' },
    ]);
    const [inside] = feed(new PacketParser(), '$X\x03#5b');
    expect(inside).toEqual(packet('X\x03'));
  });

  it('start again if the end of the last was lost', () => {
    expect(feed(new PacketParser(), 'noise$qCut$g#67')).toEqual([packet('g')]);
  });

  it('are refused when they do not end', () => {
    const parser = new PacketParser();
    expect(parser.feed(Buffer.concat([Buffer.from('$'), Buffer.alloc(MAX_PACKET + 1, 0x41)]))).toEqual([
      { kind: 'flood' },
    ]);
  });
});

/** What gdb does with a reply (gdb's remote_target::read_frame). */
function decode(bytes: Buffer): string {
  const body = bytes.toString('latin1').slice(1, -3);
  let out = '';
  for (let at = 0; at < body.length; at++) {
    if (body[at] === '}') out += String.fromCharCode(body.charCodeAt(++at) ^ 0x20);
    else if (body[at] === '*') out += out.at(-1)!.repeat(body.charCodeAt(++at) - 29);
    else out += body[at];
  }
  return out;
}

describe('outgoing packets', () => {
  it('end in the sum of their bytes', () => {
    expect(encodePacket('OK').toString()).toBe('$OK#9a');
    expect(encodePacket('').toString()).toBe('$#00');
  });

  it('shorten runs without using # or $ as a count', () => {
    expect(encodePacket('0000').toString()).toBe('$0* #7a');
    for (let length = 1; length < 300; length++) {
      const encoded = encodePacket('x'.repeat(length));
      expect(decode(encoded)).toBe('x'.repeat(length));
      expect(encoded.subarray(1, -3).toString('latin1')).not.toMatch(/[#$]/);
    }
  });

  it('escape what has a meaning', () => {
    expect(decode(encodePacket('a$b#c}d*e'))).toBe('a$b#c}d*e');
  });
});
