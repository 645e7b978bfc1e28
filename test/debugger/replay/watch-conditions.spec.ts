/** Conditions of gdb's watchpoints, which are tested where the program runs. */
import { expect, it } from 'vitest';
import { recording } from '../../collections.js';
import { debugOnce } from './recording.js';

/** The values that gdb printed where it stopped. */
const shown = (text: string): string[] =>
  [...text.matchAll(/Old value = (\S+)\nNew value = (\S+)/g)].map(
    ([, before, after]) => `${before} ${after}`,
  );

it('a variable that is written twenty thousand times is watched for one value, forwards and backwards', async () => {
  const { text } = await debugOnce(recording('hits/many')!, [
    'watch hits if hits == 15000',
    'monitor goto 16',
    'set debug remote 1',
    'continue',
    'set debug remote 0',
    'print hits',
    'delete',
    'monitor goto 17',
    'watch hits if hits == 12000',
    'reverse-continue',
    'print hits',
  ]);
  expect(shown(text)).toEqual(['14999 15000', '12001 12000']);
  // Not one for each write: to the hit, and once for the value before it.
  expect(text.match(/Sending packet: \$vCont;c/g)).toHaveLength(2);
  expect(text).toContain('$1 = 15000\n');
  expect(text).toContain('$2 = 12000\n');
});

it('conditions that are changed, that are of no use to the server, or beside watchpoints without, are obeyed', async () => {
  const { text } = await debugOnce(recording('hits/many')!, [
    'monitor goto 16',
    'watch hits if hits == 15000',
    'condition 1 hits >= 40 && hits % 7 == 3',
    'continue',
    // A register has a value in each frame.
    'condition 1 hits == 50 && $sp != 0',
    'continue',
    'condition 1 hits == 15000',
    'watch hits',
    'continue',
    'delete 2',
    'continue',
  ]);
  expect(shown(text)).toEqual(['44 45', '49 50', '50 51', '14999 15000']);
});
