/** What commands that replay have in common on the command line. */
import { Option, type Command } from 'commander';
import { parseSeconds, parseSize } from './args.js';

export const memoryOption = (): Option =>
  new Option('--memory <size>', 'most guest memory to use, such as 512M or 2G').argParser(parseSize);

export const stallLimitOption = (): Option =>
  new Option('--stall-limit <seconds>', 'longest time in the guest without reaching the next frame')
    .argParser(parseSeconds)
    .default(60);

/** What a trace may need in order to be opened. */
export function traceOptions(command: Command): Command {
  return command
    .option('--like <trace>', 'for a trace whose recorder was killed: another by the same rr and machine')
    .option('--unpacked', 'the trace was not packed: use the files of this machine that it names or links to')
    .option(
      '--files <folder>',
      'the trace may name or link to files below this folder (repeatable)',
      (folder: string, before: string[] = []) => [...before, folder],
    );
}
