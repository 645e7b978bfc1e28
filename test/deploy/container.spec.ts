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

it('names what is there, runs without privilege, and keeps what a replay needs', () => {
  const instructions = DockerfileParser.parse(text).getInstructions();
  const last = (keyword: string): string =>
    instructions.findLast((each) => each.getKeyword() === keyword)?.getArgumentsContent() ?? '';
  expect(last('USER')).toBe('node');
  expect(last('ENTRYPOINT')).toContain('/usr/local/bin/revenant');
  const removed = /rm -rf ((?:[\w/.*]+ ?)+)$/m.exec(text)![1].trim().split(' ');
  expect(removed).toContain('src');
  for (const name of removed.filter((each) => !/[*]|^build/.test(each)))
    expect(fs.existsSync(path.join(root, name)), name).toBe(true);
  for (const needed of ['bin', 'dist', 'build', 'scripts', 'schema', 'assets', 'package.json'])
    expect(removed).not.toContain(needed);
});
