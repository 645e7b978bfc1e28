/** Calls whose answers are those that the program itself would get, as the recorded program printed them. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { runCli } from '../cli/run-cli.js';
import { caseTrace, itOn } from '../collections.js';
import { MACHINE } from '../machines.js';

interface Question {
  readonly trace: string;
  readonly at: string;
  readonly what: string;
  /** Expressions and their values. */
  readonly answers: Readonly<Record<string, string>>;
}

const QUESTIONS: readonly Question[] = [
  {
    trace: 'unwind',
    at: 'inner',
    what: 'functions that inspect their callers',
    // gdb's INT3, on the stack; a call without gdb returns to a page of zeros.
    answers: { '(unsigned)caller_byte()': '204' },
  },
  {
    trace: 'handlers',
    at: 'spot:1',
    what: 'signals whose handlers the call has installed',
    answers: {
      'install_and_raise()': '1',
      'cancel()': '1',
      'alarm_()': '1',
      'timer_pre()': '1',
      'kill_other()': '1',
      'kill_thread()': '1',
      'raise_usr1()': '1',
      'raise_chld()': '5',
    },
  },
  {
    trace: 'reserve',
    at: 'exit',
    what: 'mappings beside terabytes that are reserved',
    answers: { '(int)map_some(4096)': '0' },
  },
];

describe('answers as live', () => {
  for (const { trace, at, what, answers } of QUESTIONS)
    itOn(caseTrace(trace), what, async (folder) => {
      const questions = Object.keys(answers);
      const { stdout, stderr } = await runCli('call', folder, '--machine', MACHINE, '--at', at, ...questions);
      const expected = questions.map((question) => `${question} = ${answers[question]}\n`).join('');
      expect(stdout, stderr).toBe(expected);
    });

  itOn(caseTrace('handlers'), "gdb passes glibc's own signals to a call silently", (folder) => {
    const program = path.resolve(import.meta.dirname, '../../bin/revenant');
    const commands = ['break spot', 'continue', 'print cancel()', 'info signals SIG33'];
    const flags = commands.flatMap((command) => ['-ex', command]);
    const line = ['gdb', folder, '--machine', MACHINE, '--quiet', '--', '-nx', '-batch', ...flags];
    const { stdout } = spawnSync(program, line, { encoding: 'utf8' });
    expect(stdout).toMatch(/\$1 = 1\n/);
    expect(stdout).toMatch(/SIG33 +No\tNo\tYes/);
  });

  itOn(caseTrace('sempatched'), 'a run in gdb ends at its time limit', (folder) => {
    const program = path.resolve(import.meta.dirname, '../../bin/revenant');
    const commands = [
      'break spot',
      'continue',
      'delete',
      'diversion start',
      // inc %rax; jmp to it: a loop that counts, which no other task can end
      'set var *(long*)$pc=0xfbebc0ff48',
      'continue',
    ];
    const flags = commands.flatMap((command) => ['-ex', command]);
    const line = ['gdb', folder, '--machine', MACHINE, '--time-limit', '1', '--', '-nx', '-batch'];
    const { stdout, stderr } = spawnSync(program, [...line, ...flags], { encoding: 'utf8' });
    expect(stdout + stderr).toMatch(/has run for 1 s, which is its limit/);
  });
});
