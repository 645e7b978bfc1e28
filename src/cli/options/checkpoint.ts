/** The command line of `revenant checkpoint`, and the checkpoint options of other commands. */
import { Option, type Command } from 'commander';
import { parseCount } from './args.js';
import { memoryOption, stallLimitOption, traceOptions } from './trace.js';

const collect = (value: string, before: number[]): number[] => [...before, parseCount(value)];

/** Which checkpoint files a command uses. */
export function checkpointFiles(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--checkpoints <folder>',
        'use the checkpoint files of this folder (default: beside the trace and in the cache)',
      ),
    )
    .addOption(new Option('--no-checkpoints', 'use no checkpoint files'));
}

/** Options of `revenant checkpoint`. */
export function checkpointOptions(command: Command): Command {
  return traceOptions(
    command
      .addOption(
        new Option('--at <frame>', 'after this frame (repeatable)')
          .argParser(collect)
          .default([], 'ten, evenly spaced'),
      )
      .addOption(new Option('--every <frames>', 'every N frames').argParser(parseCount))
      .option('--output <folder>', 'use this folder (to write, list or remove)')
      .addOption(
        new Option(
          '--cache',
          "write to revenant/checkpoints in $XDG_CACHE_HOME or ~/.cache, the default if the trace's folder is read-only",
        ).conflicts('output'),
      )
      .option('--list', 'list them, with the reason for those that cannot be used')
      .addOption(new Option('--remove', 'remove them').conflicts('list'))
      .addOption(memoryOption())
      .addOption(stallLimitOption()),
  )
    .option('--json', 'as JSON')
    .option('--quiet', 'no progress and no summary');
}
