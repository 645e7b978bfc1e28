import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sampleResult } from '../../../test/jobs/sample-report.js';
import { artifactFolder, checkpointFile, keepArtifacts } from './artifacts.js';
import { problem } from '../model/result.js';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'artifacts-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

it('gives each name its own folder below the root', () => {
  const names = [
    'tree',
    'zen2/tree',
    'zen2_tree',
    'zen2 tree',
    '..',
    '../x',
    '',
    '/',
    '.git',
    'a/../../b',
    'x'.repeat(300),
    'x'.repeat(301),
  ];
  const folders = names.map((name) => artifactFolder(root, name));
  expect(folders[0]).toBe(path.join(root, 'tree'));
  expect(new Set(folders).size).toBe(names.length);
  for (const folder of folders) expect(path.dirname(folder)).toBe(root);
  for (const folder of folders) fs.mkdirSync(folder);
});

it("keeps a worker's artifacts of a failure, and removes those of an earlier one", () => {
  const failed = sampleResult('zen2/tree', { problems: [problem('divergence', 'The replay diverged.')] });
  const file = checkpointFile(root, failed.name);
  fs.mkdirSync(path.dirname(file));
  fs.writeFileSync(file, 'pages');
  failed.artifacts = [{ kind: 'checkpoint', path: file }];
  failed.log = 'said\n';
  keepArtifacts(root, failed);
  expect(failed.artifacts.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(['checkpoint', 'report', 'result', 'log']),
  );
  for (const artifact of failed.artifacts) expect(fs.existsSync(path.join(root, artifact.path))).toBe(true);
  const report = fs.readFileSync(path.join(path.dirname(file), 'report.txt'), 'utf8');
  expect(report).toContain(`checkpoint: ${path.relative(root, file)}`);

  keepArtifacts(root, sampleResult('zen2/tree'));
  expect(fs.existsSync(file)).toBe(false);
});
