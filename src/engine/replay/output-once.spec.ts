import { describe, expect, it } from 'vitest';
import { OutputOnce } from './output-once.js';

describe('OutputOnce', () => {
  it('hands every byte on once, also when a replay goes back', () => {
    let text = '';
    const output = new OutputOnce((stream, bytes) => (text += `${stream}:${Buffer.from(bytes).toString()} `));
    const write = (stream: 1 | 2, bytes: string): void => output.write(stream, Buffer.from(bytes));
    write(1, 'ab');
    const { written } = output;
    write(1, 'cd');
    write(2, 'x');
    output.rewind(written);
    write(1, 'c');
    write(1, 'def');
    write(2, 'xy');
    expect(text).toBe('1:ab 1:cd 2:x 1:ef 2:y ');
  });

  it('writes later output again, if requested', () => {
    let text = '';
    const output = new OutputOnce((_stream, bytes) => (text += `${Buffer.from(bytes).toString()} `));
    output.write(1, Buffer.from('ab'));
    const { written } = output;
    output.write(1, Buffer.from('cd'));
    output.rewind(written);
    output.repeat();
    output.write(1, Buffer.from('cd'));
    output.rewind(written);
    output.write(1, Buffer.from('cdef'));
    expect(text).toBe('ab cd cd ef ');
  });
});
