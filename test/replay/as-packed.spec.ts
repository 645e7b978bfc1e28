/** Traces whose files are beside them (`rr pack --pack-dir`), and whose names are not UTF-8. */
import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { caseTrace, itOn, recording } from '../collections.js';
import { MACHINE } from '../machines.js';

itOn(recording('rr-5.10/packdir'), 'files of a folder that traces share are used', async (folder) => {
  const trace = path.join(folder, 'trace');
  const { code, stdout } = await runCli('replay', trace, '--machine', MACHINE);
  expect(stdout).toBe(fs.readFileSync(path.join(folder, '../hello/expected_stdout'), 'utf8'));
  expect(code).toBe(ExitCode.ok);
});

itOn(caseTrace('args.bad'), 'a program whose file and arguments are not UTF-8 replays', async (folder) => {
  const { code, stdout } = await runCli('replay', folder, '--machine', MACHINE);
  expect(stdout).toBe('2 args 15 bytes; argv1[0]=255\n1\n');
  expect(code).toBe(ExitCode.ok);
  const info = JSON.parse((await runCli('info', '--json', folder)).stdout) as { executable: string };
  expect(info.executable).toBe('src/bad\udcff\udcfename');
});
