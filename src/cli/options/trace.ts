/** Options of all commands that replay. */
import { Option, type Command } from 'commander';
import { TICKS_OPTIONS } from '../../recording/ticks-options.js';
import { parseSeconds, parseSize } from './args.js';

export const memoryOption = (): Option =>
  new Option('--memory <size>', 'guest memory limit, such as 512M or 2G').argParser(parseSize);

export const stallLimitOption = (): Option =>
  new Option('--stall-limit <seconds>', 'time limit in the guest without reaching the next frame')
    .argParser(parseSeconds)
    .default(60);

export const ticksOption = (): Option =>
  new Option('--ticks <strategy>', 'how to find asynchronous events').choices(TICKS_OPTIONS);

/** Options for opening a trace. */
export function traceOptions(command: Command): Command {
  return command
    .option(
      '--like <trace>',
      'for a trace whose recorder was killed: another trace of the same rr and machine',
    )
    .option(
      '--unpacked',
      'the trace was not packed: use the files of this machine that it refers or links to',
    )
    .option(
      '--files <folder>',
      'the trace may refer or link to files below this folder (repeatable)',
      (folder: string, before: string[] = []) => [...before, folder],
    );
}
