/** Which options a command of ours has, by its --help. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');

const known = new Map<string, Set<string>>();

function optionsOf(command: string): Set<string> {
  const found = known.get(command);
  if (found) return found;
  const { stdout } = spawnSync(process.execPath, [path.join(root, 'bin/revenant'), command, '--help'], {
    encoding: 'utf8',
  });
  const options = new Set([...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option));
  known.set(command, options);
  return options;
}

/** The options in `revenant`'s words that its command does not have. */
export function unknownOptions([command, ...words]: readonly string[]): string[] {
  const options = optionsOf(command);
  return words
    .map((word) => /^--[a-z][\w-]*/.exec(word)?.[0])
    .filter((option): option is string => option !== undefined && !options.has(option));
}
