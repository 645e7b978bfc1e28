/** Results in every state, for tests of what reports make of them. */
import type { DivergenceDocument } from '../../src/engine/replay/report/report.js';
import type { JobResult } from '../../src/jobs/model/result.js';
import { newResult, problem, stateOf } from '../../src/jobs/model/result.js';
import type { RunReport } from '../../src/jobs/report/run-report.js';
import { countStates } from '../../src/jobs/report/run-report.js';
import { streamOf } from '../../src/jobs/checks/text.js';
import type { JobSpec } from '../../src/jobs/model/spec.js';
import { NO_EXPECTATION } from '../../src/jobs/model/spec.js';

/** A job that expects only that its trace replays. */
export const sampleSpec = (name: string, more: Partial<JobSpec> = {}): JobSpec => ({
  name,
  trace: `/traces/${name}`,
  like: null,
  unpacked: false,
  files: [],
  clock: 'recorded',
  verifyTicks: false,
  machine: 'auto',
  cpu: null,
  expect: NO_EXPECTATION,
  questions: [],
  limits: { timeoutSeconds: 600, memoryBytes: null, stallSeconds: 60 },
  retries: 0,
  source: null,
  ...more,
});

/** A result whose state follows from its problems. */
export function sampleResult(name: string, more: Partial<JobResult> = {}): JobResult {
  const result = { ...newResult({ name, trace: `/traces/${name}`, source: null }), ...more };
  result.state = stateOf(result.problems);
  result.reproduce = `revenant replay /traces/${name}`;
  return result;
}

export const divergence: DivergenceDocument = {
  trace: '/traces/tree',
  frameTime: 120,
  tid: 4711,
  taskName: 'tree',
  event: 'write entering',
  summary: 'rdx differs',
  expected: null,
  found: null,
  registers: [
    { name: 'rax', expected: '0x1', found: '0x1', differs: false },
    { name: 'rdx', expected: '0x40', found: '0x41', differs: true },
  ],
  ticks: { expected: 5000, found: 5001 },
  rip: { address: '0x401000', symbol: 'print_tree+0x1c', mapping: '401000-402000 r-xp tree' },
  rsp: null,
  instructions: [
    { address: '0x400ffe', bytes: '4889c2', comment: '', text: 'mov rdx, rax', current: false },
    { address: '0x401001', bytes: '0f05', comment: '', text: 'syscall', current: true },
  ],
  lastFrames: [{ frameTime: 119, tid: 4711, ticks: 4990, event: 'brk exiting' }],
  machine: 'QEMU emulator',
  machineLacks: [],
  advice: ['Inspect the last frames.'],
  rerun: 'revenant replay --goto 119 /traces/diverged',
};

/** Text that must not be taken for markup, nor break a file format. */
export const NASTY = '</script><b>&"\u0007\ud800]]> ::error::%0A\n';

export function sampleReport(results = sampleResults()): RunReport {
  return {
    version: 1,
    revenant: '0.1.0',
    started: '2026-01-02T03:04:05.678Z',
    seconds: 12.3456,
    target: 'revenant.yaml',
    strict: false,
    host: { name: 'builder', processor: 'Some <CPU>', cores: 2, memoryBytes: 8e9, node: 'v20.0.0' },
    parallel: 2,
    counts: countStates(results),
    unchanged: 0,
    results,
  };
}

export function sampleResults(): JobResult[] {
  return [
    sampleResult('zen2/passed', { seconds: 1.5, stdout: streamOf('hello\n') }),
    sampleResult('zen2/flaky', { seconds: 2, attempts: 2, flaky: true }),
    sampleResult('zen2/diverged', {
      source: { file: '/repo/revenant.yaml', line: 7 },
      problems: [problem('divergence', 'The replay diverged at frame 120.', { code: 'E_DIVERGED' })],
      divergence,
      divergenceText: 'The replay diverged at frame 120.\n',
    }),
    sampleResult('zen2/output', {
      problems: [
        problem('stdout', 'stdout differs at byte 3.', { expected: NASTY, found: `found ${NASTY}` }),
      ],
      stdout: streamOf(NASTY),
    }),
    sampleResult('late', {
      problems: [problem('timeout', 'Not done after 600 s.', { hint: 'Set `timeout` in the manifest.' })],
    }),
    sampleResult('avx512', {
      problems: [problem('machine', 'The machine lacks AVX-512.', { code: 'E_MACHINE_CANNOT' })],
    }),
  ];
}
