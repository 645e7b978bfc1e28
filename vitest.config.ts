import { defineConfig } from 'vitest/config';

/**
 * Two projects: `unit` needs neither KVM nor a machine and runs in parallel; `machine` shares one
 * vCPU and is measured in seconds, so its files run one after another. No test has a limit of time: what is stuck
 * is found by scripts/specs.mjs.
 */
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
          poolOptions: { forks: { singleFork: true } },
        },
      },
    ],
  },
});
