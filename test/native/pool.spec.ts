/** Guest memory that Node cannot hold in one array: refused, and nothing is freed twice. */
import { constants } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const addon = path.resolve(import.meta.dirname, '../../build/native/Release/revenant.node');

it('a pool larger than an array may be is refused', () => {
  const bytes = constants.MAX_LENGTH * 2;
  // Node finalizes a refused buffer in a later turn of its loop.
  const program = `
    const { openHost } = require(${JSON.stringify(addon)});
    for (let times = 0; times < 3; times++) {
      try { openHost(${bytes}); } catch (error) { console.log(error.code); }
    }
    setTimeout(() => console.log(openHost(1 << 20).pool.byteLength), 20);`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(stdout).toBe(`${'ERR_BUFFER_TOO_LARGE\n'.repeat(3)}${1 << 20}\n`);
  expect(status).toBe(0);
});
