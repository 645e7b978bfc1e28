/**
 * What the recording kernel did without a frame that says so: calls made again, calls that a debugger or a filter kept
 * from the kernel, debug registers, restartable sequences.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { runCli } from '../cli/run-cli.js';
import { caseTrace, itOn, recording } from '../collections.js';
import { MACHINE } from '../machines.js';

/** Output of traces that have no file with it. */
const OUTPUT: Readonly<Record<string, string>> = { stopcont: 'stopped 1, then signal 9\n' };

const TRACES: Readonly<Record<string, string>> = {
  stopcont: 'a call that SIGSTOP and SIGCONT interrupted is made again',
  'rr-tests/rr-test-ptrace_sysemu': 'a debugger lets calls go without making them, and steps',
  'rr-tests/rr-test-ptrace_debug_regs': 'a debugger sets breakpoints and watchpoints in debug registers',
  'rr-tests/rr-test-seccomp_madvise': 'a filter traps a call that the recorder makes untraced',
  'rr-tests/rr-test-rseq_cpu_id_reset': 'recorders before 5.9 do not change the CPU number of a sequence',
};

describe('replays as recorded', () => {
  itOn(recording('rr-5.10/fdtricks'), 'output to a descriptor taken by a pidfd is shown', async (trace) => {
    const { code, stdout, stderr } = await runCli('replay', trace, '--machine', MACHINE, '--quiet');
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(fs.readFileSync(path.join(trace, 'expected_stdout'), 'utf8'));
  });

  for (const [name, what] of Object.entries(TRACES)) {
    itOn(caseTrace(name), what, async (trace) => {
      const { code, stdout, stderr } = await runCli('replay', trace, '--machine', MACHINE, '--quiet');
      expect(code, stderr).toBe(0);
      expect(stdout).toBe(OUTPUT[name] ?? fs.readFileSync(path.join(trace, 'expected_stdout'), 'utf8'));
    });
  }
});
