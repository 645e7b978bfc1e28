import { defineConfig } from 'vitest/config';

/**
 * Two projects: `unit` needs neither KVM nor a machine and runs in parallel; `machine` shares one
 * vCPU and is measured in seconds, so its files run one after another.
 */
const machineSpecs = [
  'test/kvm/**/*.spec.ts',
  'test/replay/**/*.spec.ts',
  'test/travel/**/*.spec.ts',
  'test/machine/**/*.spec.ts',
  'test/diversion/**/*.spec.ts',
  'test/debugger/replay/**/*.spec.ts',
  'test/api/**/*.spec.ts',
  'test/cli/hostile.spec.ts',
  'test/jobs/ci.spec.ts',
  'test/jobs/questions.spec.ts',
  'test/jobs/worker.spec.ts',
  'test/deploy/action.spec.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    poolOptions: { forks: { maxForks: 2 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.spec.ts', 'test/**/*.spec.ts'],
          exclude: machineSpecs,
          testTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'machine',
          include: machineSpecs,
          testTimeout: 300_000,
          hookTimeout: 120_000,
          poolOptions: { forks: { singleFork: true } },
        },
      },
    ],
  },
});
