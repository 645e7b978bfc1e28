import { describe, expect, it } from 'vitest';
import { cpioArchive, DIRECTORY, REGULAR } from './cpio.js';

describe('cpioArchive', () => {
  const archive = cpioArchive([
    { name: 'dev', mode: DIRECTORY, data: new Uint8Array() },
    { name: 'a', mode: REGULAR, data: Buffer.from('hello') },
  ]);

  it('writes a header of 110 bytes, name and data, each padded to 4', () => {
    expect(archive.subarray(0, 6).toString()).toBe('070701');
    expect(archive.subarray(110, 114).toString()).toBe('dev\0');
    const file = 116; // 110 + 4 = 114, padded
    expect(archive.subarray(file, file + 6).toString()).toBe('070701');
    expect(parseInt(archive.subarray(file + 14, file + 22).toString(), 16)).toBe(REGULAR);
    expect(parseInt(archive.subarray(file + 54, file + 62).toString(), 16)).toBe(5);
    expect(archive.subarray(file + 112, file + 117).toString()).toBe('hello');
    expect(archive.subarray(file + 120, file + 126).toString()).toBe('070701');
  });

  it('ends with the trailer, aligned', () => {
    expect(archive.toString('latin1')).toContain('TRAILER!!!\0');
    expect(archive.length % 4).toBe(0);
  });

  it('is the same for the same entries', () => {
    const again = cpioArchive([
      { name: 'dev', mode: DIRECTORY, data: new Uint8Array() },
      { name: 'a', mode: REGULAR, data: Buffer.from('hello') },
    ]);
    expect(again.equals(archive)).toBe(true);
  });
});
