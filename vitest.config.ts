import { defineConfig } from 'vitest/config';
import { emulatedProblem } from './scripts/emulated-parts.mjs';

/**
 * Three projects: `unit` needs neither KVM nor a machine and runs in parallel; `machine` shares one
 * vCPU and is measured in seconds, so its files run one after another; `emulated` repeats some of those in the emulated
 * machine, where `machine` replays in processes (test/machines.ts). No test has a limit of time: what is stuck
 * is found by scripts/specs.mjs.
 */
const inEmulated = [
  'test/kvm/staged.spec.ts',
  'test/replay/{command,exceptions,protection-keys,signal-vectors,staged,stall,ticks}.spec.ts',
  'test/travel/{backward,forward,ticks,persistent,checkpoint-files}.spec.ts',
  'test/diversion/{calls,trap-flag,expressions}.spec.ts',
  'test/debugger/replay/{as-rr,avx512,diversions,killed,processes,sessions,tree}.spec.ts',
  'test/api/replay.spec.ts',
  'test/jobs/ci.spec.ts',
];

/** They are about the emulated machine, or about KVM, which is in it; left out where it is not installed. */
const aboutEmulated = [
  'test/kvm/xsave-emulated.spec.ts',
  'test/machine/{changed-code,choose,idle,lifetime,lost}.spec.ts',
  'test/replay/{both-machines,older-processor,refusal}.spec.ts',
];

const missing = emulatedProblem();
if (missing !== null)
  process.stderr.write(`Specs of the emulated machine are skipped: ${missing}: ${aboutEmulated.join(' ')}\n`);

const machineSpecs = [
  'test/kvm/**/*.spec.ts',
  'test/host-kvm/**/*.spec.ts',
  'test/replay/**/*.spec.ts',
  'test/travel/**/*.spec.ts',
  'test/machine/**/*.spec.ts',
  'test/diversion/**/*.spec.ts',
  'test/debugger/replay/**/*.spec.ts',
  'test/api/**/*.spec.ts',
  'test/cli/hostile.spec.ts',
  'test/cli/cases.spec.ts',
  'test/jobs/ci.spec.ts',
  'test/jobs/ci-faults.spec.ts',
  'test/faults/**/*.spec.ts',
  'test/jobs/questions.spec.ts',
  'test/jobs/worker.spec.ts',
  'test/deploy/action.spec.ts',
  'test/deploy/package.spec.ts',
  'test/docs/documents.spec.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 0,
    hookTimeout: 0,
    teardownTimeout: 600_000,
    poolOptions: { forks: { maxForks: 2 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.spec.ts', 'test/**/*.spec.ts'],
          exclude: machineSpecs,
        },
      },
      {
        extends: true,
        test: {
          name: 'machine',
          include: machineSpecs,
          exclude: missing === null ? [] : aboutEmulated,
          poolOptions: { forks: { singleFork: true } },
        },
      },
      {
        extends: true,
        test: {
          name: 'emulated',
          include: missing === null ? inEmulated : [],
          env: { REVENANT_SPECS: 'emulated' },
          poolOptions: { forks: { singleFork: true } },
        },
      },
    ],
  },
});
