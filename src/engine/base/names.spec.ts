import { describe, expect, it } from 'vitest';
import { nameBytes, nameOf, printable, xmlText } from './names.js';

describe('names', () => {
  it.each<[string, number[], string]>([
    ['ASCII', [0x61, 0x2f], 'a/'],
    ['UTF-8', [...Buffer.from('Größe 漢 😀')], 'Größe 漢 😀'],
    ['latin1', [0x47, 0x72, 0xf6, 0xdf, 0x65], 'Gr\udcf6\udcdfe'],
    ['every wrong byte', [0xff, 0xfe, 0x80, 0xc0, 0xf8], '\udcff\udcfe\udc80\udcc0\udcf8'],
    ['a truncated sequence', [0x61, 0xe6, 0xbc], 'a\udce6\udcbc'],
    ['an overlong form', [0xc0, 0xaf, 0xe0, 0x80, 0xaf], '\udcc0\udcaf\udce0\udc80\udcaf'],
    ['a surrogate in UTF-8', [0xed, 0xb2, 0x80], '\udced\udcb2\udc80'],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80], '\udcf4\udc90\udc80\udc80'],
    ['the replacement character itself', [0xef, 0xbf, 0xbd, 0xff], '\ufffd\udcff'],
    ['wrong bytes beside valid ones', [...Buffer.from('😀'), 0x9f, ...Buffer.from('ö')], '😀\udc9fö'],
  ])('keep %s', (_name, bytes, text) => {
    expect(nameOf(Uint8Array.from(bytes))).toBe(text);
    expect([...nameBytes(text)]).toEqual(bytes);
  });

  it('keep any two bytes, and any bytes after others', () => {
    const wrong: string[] = [];
    for (let a = 0; a < 256; a++)
      for (let b = 0; b < 256; b++) {
        const bytes = Buffer.of(0xf0, 0x9f, a, b, 0x61);
        if (!nameBytes(nameOf(bytes)).equals(bytes)) wrong.push(bytes.toString('hex'));
      }
    expect(wrong).toEqual([]);
  });

  it('survive JSON', () => {
    const text = nameOf(Uint8Array.of(0xff, 0x22, 0x0a));
    expect(JSON.stringify(text)).toBe('"\\udcff\\"\\n"');
    expect(JSON.parse(JSON.stringify(text))).toBe(text);
  });

  it('are printable', () => {
    expect(printable('a\u001b[2J\u009b\u202e\udcff😀')).toBe('a\\x1b[2J\\x9b\\x202e\\xff😀');
  });

  it('are XML', () => {
    expect(xmlText('<a&"\'>\u0001\n\udcffö\ufffe')).toBe('&#60;a&#38;&#34;&#39;&#62;\\x01&#10;\\xffö\\xfffe');
  });
});
