import path from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseCount, parseSeconds, parseSize } from './args.js';

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

function folder(value: string, before: string[] | undefined): string[] {
  const full = path.resolve(value);
  if (full === '/') throw new InvalidArgumentError('the root folder is not allowed; name a folder.');
  return collect(full, before);
}

/** What diversions may do outside of the guest. */
export function diversionOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--allow-writes <folder>',
        'diversions may write real files below this folder (repeatable)',
      ).argParser(folder),
    )
    .option('--allow-net', 'diversions may connect to the network as clients')
    .addOption(
      new Option(
        '--clock <which>',
        "clocks of diversions: continuing from the recorded time, or this machine's",
      )
        .choices(['recorded', 'now'])
        .default('recorded'),
    )
    .addOption(
      new Option('--time-limit <seconds>', 'time limit of one run of a diversion: a call, a continue')
        .argParser(parseSeconds)
        .default(60),
    );
}

/** Options of `revenant call`. */
export function callOptions(command: Command): Command {
  return diversionOptions(command)
    .addOption(
      new Option(
        '--at <place>',
        'FRAME, SYMBOL[:HIT], FILE:LINE[:HIT], exit (of the first process), end (of the last; the default), crash; repeatable',
      )
        .argParser(collect)
        .default([], 'end'),
    )
    .addOption(
      new Option('--memory-limit <size>', "memory limit of one call, in addition to the replay's")
        .argParser(parseSize)
        .default(2 ** 29, '512M'),
    )
    .addOption(
      new Option('--output-limit <bytes>', 'output limit of one call')
        .argParser(parseCount)
        .default(2 ** 24, '16M'),
    )
    .option('--gdb <command>', 'the gdb that evaluates expressions with types', 'gdb')
    .option('--json', 'results and output as one JSON document')
    .option('--quiet', 'results only');
}
