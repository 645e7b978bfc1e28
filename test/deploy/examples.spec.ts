/** Files for GitHub Actions and GitLab, and the commands in the documents. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { validateAction, validateWorkflow } from '@action-validator/core';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { root, unknownOptions } from './options.js';

const read = (name: string): string => fs.readFileSync(path.join(root, name), 'utf8');

/** The words after `revenant` of each command line in a text; a command over two lines is one. */
function commandLines(text: string): string[][] {
  const whole = text.replace(/\\\n\s*/g, ' ').replace(/\n\s+(?=--)/g, ' ');
  return [
    ...whole.matchAll(/(?<![\w./"-])(?:bin\/)?revenant ((?:ci|worker|replay|call|gdb|serve|doctor)\b.*)/g),
  ].map(([, words]) => words.split(/ {2,}| # |`/, 1)[0].split(' '));
}

it('the action and the workflow are valid, and the validator finds mistakes', () => {
  const action = read('action.yml');
  expect(validateAction(action).errors).toEqual([]);
  expect(validateAction(action.replace('shell: bash', 'shel: bash')).errors).not.toEqual([]);
  const workflow = read('docs/examples/github-actions.yml');
  expect(validateWorkflow(workflow).errors).toEqual([]);
  expect(validateWorkflow(workflow.replace('runs-on', 'run-on')).errors).not.toEqual([]);
  expect(validateWorkflow(read('.github/workflows/ci.yml')).errors).toEqual([]);
  const given = Object.keys((parse(action) as { inputs: object }).inputs);
  const { jobs } = parse(workflow) as { jobs: { replay: { steps: { uses?: string; with?: object }[] } } };
  const used = jobs.replay.steps.find(({ uses }) => uses === './.revenant')!;
  for (const input of Object.keys(used.with!)) expect(given).toContain(input);
});

it('the GitLab job is a job, and its script a shell script', () => {
  const document = parse(read('docs/examples/gitlab-ci.yml')) as Record<string, Record<string, unknown>>;
  expect(Object.keys(document)).toEqual(['replay']);
  const { script, artifacts, ...rest } = document.replay;
  expect(Object.keys(rest).sort()).toEqual(['cache', 'image', 'stage', 'variables']);
  expect(artifacts).toMatchObject({ reports: { junit: 'revenant-reports/junit.xml' } });
  for (const line of script as string[]) {
    expect(spawnSync('bash', ['-n'], { input: line }).status).toBe(0);
    expect(line).toContain('--junit revenant-reports/junit.xml');
  }
});

it('files and scripts that CONTRIBUTING.md names are there', () => {
  const text = read('CONTRIBUTING.md');
  const paths = [...text.matchAll(/`((?:src|test|native|lint|scripts|traces|docs)\/[\w./-]*)`/g)].map(
    ([, name]) => name,
  );
  expect(paths.length).toBeGreaterThan(15);
  for (const name of paths) expect(fs.existsSync(path.join(root, name)), name).toBe(true);
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const [, name] of text.matchAll(/npm run ([\w-]+(?::[\w-]+)*)/g))
    expect(scripts, name).toHaveProperty(name);
});

it('every option in examples and documents exists', () => {
  const lines = [
    'README.md',
    'CONTRIBUTING.md',
    'docs/usage.md',
    'docs/ci.md',
    'docs/examples/gitlab-ci.yml',
    'deploy/Containerfile',
  ].flatMap((name) => commandLines(read(name)).map((words) => ({ name, words })));
  expect(lines.length).toBeGreaterThan(12);
  for (const { name, words } of lines)
    expect(unknownOptions(words), `${name}: ${words.join(' ')}`).toEqual([]);
});
