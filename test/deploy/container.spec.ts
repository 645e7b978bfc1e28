import fs from 'node:fs';
import path from 'node:path';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { expect, it } from 'vitest';
import { root } from './options.js';

const text = fs.readFileSync(path.join(root, 'deploy/Containerfile'), 'utf8');

it('the container file passes a linter, which finds a mistake', () => {
  expect(validate(text)).toEqual([]);
  expect(validate(text.replace('--from=build', '--form=build'))).not.toEqual([]);
});

it('installs the package that it built, and runs without privilege', () => {
  const instructions = DockerfileParser.parse(text).getInstructions();
  const last = (keyword: string): string =>
    instructions.findLast((each) => each.getKeyword() === keyword)?.getArgumentsContent() ?? '';
  expect(last('USER')).toBe('node');
  expect(last('ENTRYPOINT')).toContain('/usr/local/bin/revenant');
  expect(last('COPY')).toContain('/build/revenant-*.tgz /tmp/');
  expect(last('RUN')).toMatch(/npm install --global .*\/tmp\/revenant-\*\.tgz\s/);
  // The files that a build needs are in its context.
  const ignored = fs.readFileSync(path.join(root, '.dockerignore'), 'utf8').split('\n');
  const { files } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    files: string[];
  };
  for (const name of files.filter((each) => !/^(!|dist|prebuilds|man$)/.test(each)))
    expect(ignored).not.toContain(name);
});
