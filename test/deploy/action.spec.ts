/** The action's own step, run by bash as a runner would. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { MACHINE } from '../machines.js';
import { root } from './options.js';

interface Action {
  inputs: Record<string, { default: string }>;
  runs: { steps: { id?: string; run?: string; env?: Record<string, string> }[] };
}

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'action-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

function replay(inputs: Record<string, string>): {
  code: number | null;
  outputs: string;
  annotations: string;
} {
  const action = parse(fs.readFileSync(path.join(root, 'action.yml'), 'utf8')) as Action;
  const step = action.runs.steps.find(({ id }) => id === 'replay')!;
  const given = (expression: string): string => {
    const name = /^\$\{\{ inputs\.(\w+) \}\}$/.exec(expression)![1];
    return inputs[name] ?? action.inputs[name].default;
  };
  const environment = Object.entries(step.env!).map(([name, value]) => [name, given(value)]);
  const outputs = path.join(folder, 'outputs');
  fs.writeFileSync(outputs, '');
  const { status, stderr } = spawnSync(
    'bash',
    ['--noprofile', '--norc', '-eo', 'pipefail', '-c', step.run!],
    {
      cwd: folder,
      encoding: 'utf8',
      env: {
        ...process.env,
        ...(Object.fromEntries(environment) as Record<string, string>),
        GITHUB_ACTION_PATH: root,
        GITHUB_ACTIONS: 'true',
        GITHUB_OUTPUT: outputs,
        GITHUB_STEP_SUMMARY: path.join(folder, 'summary.md'),
        XDG_CACHE_HOME: path.join(folder, 'cache'),
      },
    },
  );
  return { code: status, outputs: fs.readFileSync(outputs, 'utf8'), annotations: stderr };
}

it('replays, writes every report, and fails with the exit code', () => {
  fs.symlinkSync(path.join(root, 'traces/zen2'), path.join(folder, 'recorded traces'));
  const reports = path.join(folder, 'my reports');
  const inputs = { target: 'recorded traces', machine: MACHINE, reports: 'my reports' };
  const good = replay({ ...inputs, arguments: '--only\n*hello*\n\n' });
  expect(good).toMatchObject({ code: 0, outputs: `reports=${reports}\ncode=0\n` });
  const results = JSON.parse(fs.readFileSync(path.join(reports, 'results.json'), 'utf8')) as object;
  expect(results).toMatchObject({ counts: { passed: 1, total: 1 } });
  expect(fs.readdirSync(reports).sort()).toEqual(['junit.xml', 'report.html', 'results.json']);

  const name = path.join(folder, 'expects.yaml');
  fs.writeFileSync(
    name,
    'version: 1\ntraces: [{ paths: recorded traces/hello-static, expect: { status: 3 } }]\n',
  );
  const bad = replay({ ...inputs, target: name });
  expect(bad).toMatchObject({ code: 1, outputs: `reports=${reports}\ncode=1\n` });
  expect(bad.annotations).toMatch(/::error /);
  expect(fs.readdirSync(path.join(reports, 'failures'))).toHaveLength(1);
});
