/** AVX-512 in gdb, mostly on a processor that has none: registers, watchpoints, backwards, and a signal in a diversion. */
import { describe, expect, it } from 'vitest';
import { itOn, recording } from '../../collections.js';
import { problemHere } from '../../machines.js';
import { debugOnce } from './recording.js';

/** Where the program has its registers full and raises SIGILL, and the first instruction behind that. */
const FULL = '*(main+676)';
const BEHIND = '*(main+678)';

const value = (text: string, label: string): string =>
  new RegExp(`^${label}: (.*)$`, 'm').exec(text)?.[1] ?? `no ${label} in:\n${text}`;

const say = (label: string, format: string, expression: string): string =>
  `printf "${label}: ${format}\\n", ${expression}`;

describe.each([
  { name: 'skylake-avx512/avx512sig', area: 2688 },
  { name: 'zen4/avx512sig', area: 2432 },
])('$name in gdb', ({ name, area }) => {
  const folder = recording(name);
  const problem = folder && problemHere(folder);
  if (problem !== null) {
    it.skip(`AVX-512 (skipped: ${problem})`, () => {});
    return;
  }

  itOn(folder, 'has the registers in the handler, after it, and before it again', async (trace) => {
    const registers = (label: string): string[] => [
      say(`k5 ${label}`, '%#lx', '$k5'),
      say(`zmm3 ${label}`, '%#lx', '$zmm3.v8_int64[7]'),
      say(`zmm19 ${label}`, '%#lx', '$zmm19.v8_int64[5]'),
    ];
    const { text } = await debugOnce(trace, [
      'handle SIGILL nostop noprint pass',
      `break ${FULL}`,
      'continue',
      ...registers('before'),
      'break on_ill',
      'continue',
      ...registers('inside'),
      `tbreak ${BEHIND}`,
      'continue',
      ...registers('after'),
      'delete 2',
      'reverse-continue',
      ...registers('again'),
    ]);
    const number = (label: string): bigint => BigInt(value(text, label));
    expect(number('k5 before')).not.toBe(0n);
    expect(number('k5 inside')).toBe(0n);
    expect(number('zmm3 inside')).toBe(0n);
    expect(number('zmm3 after')).toBe(number('zmm3 before'));
    // What the handler changes in its frame.
    expect(number('k5 after')).toBe(number('k5 before') ^ 0xfn);
    expect(number('zmm19 after')).toBe(number('zmm19 before') ^ 0xffn);
    for (const register of ['k5', 'zmm3', 'zmm19'])
      expect(number(`${register} again`)).toBe(number(`${register} before`));
  });

  itOn(folder, 'stops at a watched store of ZMM, forwards and backwards', async (trace) => {
    const { text } = await debugOnce(trace, [
      'handle SIGILL nostop noprint pass',
      `break ${BEHIND}`,
      'continue',
      'delete',
      'watch -l *(long *) ((char *) &got + 64 * 20 + 8)',
      'continue',
      say('stored', '%d', '*(long *) ((char *) &got + 64 * 20 + 8) == $zmm20.v8_int64[1]'),
      say('place', '%d', '(char *) $pc - (char *) main'),
      'reverse-continue',
      say('undone', '%#lx', '*(long *) ((char *) &got + 64 * 20 + 8)'),
      say('back', '%d', '(char *) $pc - (char *) main'),
    ]);
    expect(value(text, 'stored')).toBe('1');
    expect(value(text, 'undone')).toBe('0');
    expect(Number(value(text, 'back'))).toBeLessThan(Number(value(text, 'place')));
  });

  itOn(folder, 'writes them in a diversion, where a signal saves and restores them', async (trace) => {
    const { text } = await debugOnce(trace, [
      'handle SIGILL nostop noprint pass',
      `break ${FULL}`,
      'continue',
      'diversion start',
      'set $k5 = 0x1234',
      'set $zmm19.v8_int64[5] = 0x5678',
      'set $zmm3.v8_int64[7] = 0x9abc',
      'delete',
      `break ${BEHIND}`,
      'continue',
      say('bytes', '%d', '*(long *) &magic_size'),
      say('components', '%#lx', '*(long *) &features'),
      say('seen', '%#lx', '*(long *) ((char *) &seen + 64 * 3 + 56)'),
      say('k5', '%#lx', '$k5'),
      say('zmm19', '%#lx', '$zmm19.v8_int64[5]'),
      say('zmm3', '%#lx', '$zmm3.v8_int64[7]'),
      'call (void) clobber(5)',
      say('kept', '%#lx', '$zmm3.v8_int64[7]'),
      'call (int) raise(14)',
      say('handled', '%d', '*(int *) &alarms'),
      say('still', '%#lx', '$zmm3.v8_int64[7]'),
      'diversion end',
      say('end', '%#lx', '$k5'),
    ]);
    expect(Number(value(text, 'bytes'))).toBe(area);
    expect(BigInt(value(text, 'components'))).toBe(0xe7n);
    expect(value(text, 'seen')).toBe('0x9abc');
    expect(value(text, 'k5')).toBe('0x123b');
    expect(value(text, 'zmm19')).toBe('0x5687');
    expect(value(text, 'zmm3')).toBe('0x9abc');
    expect(value(text, 'kept')).toBe('0x9abc');
    expect(value(text, 'handled')).toBe('1');
    expect(value(text, 'still')).toBe('0x9abc');
    expect(value(text, 'end')).not.toBe('0x123b');
  });
});
