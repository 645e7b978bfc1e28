import { describe, expect, it } from 'vitest';
import { keeperNames, parseAnswer } from './keeper-client.js';

const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000040e0c580: 00000002 00000000 00010000 0001 01 35878 @revenant-0-aabbccddeeff-1
0000000040e0c581: 00000002 00000000 00010000 0001 01 35879 @revenant-0-aabbccddeeff-0
0000000040e0c582: 00000003 00000000 00000000 0001 03 35880 @revenant-0-aabbccddeeff-0
0000000040e0c583: 00000002 00000000 00010000 0001 01 35881 @revenant-10-aabbccddeeff-0
0000000040e0c584: 00000002 00000000 00010000 0001 01 35882 /run/revenant-0-x
0000000040e0c585: 00000002 00000000 00010000 0001 01 35883
`;

describe('keeperNames', () => {
  it('takes listening abstract sockets of this user only, each once', () => {
    expect(keeperNames(table, 'revenant-0-')).toEqual([
      'revenant-0-aabbccddeeff-0',
      'revenant-0-aabbccddeeff-1',
    ]);
  });
});

describe('parseAnswer', () => {
  it('takes granted answers only', () => {
    expect(parseAnswer('+{"pid":3}\n')).toEqual({ pid: 3 });
    expect(parseAnswer('-{"pid":3}\n')).toBeNull();
    expect(parseAnswer('+{"pid"')).toBeNull();
    expect(parseAnswer('')).toBeNull();
  });
});
