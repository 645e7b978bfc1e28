/** The command lines of `revenant ci`, `worker` and `job`. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { MACHINE_CHOICES } from '../../machine/kinds.js';
import { parseCount, parseSeconds, parseSize, parseWhole } from './args.js';
import type { CiCommandOptions } from '../commands/ci.js';
import type { WorkerCommandOptions } from '../commands/worker.js';
import type { CiEnvironment } from '../ci/environment.js';
import { exitCodesText, helpWidth } from './exit-codes.js';
import type { CommandIo } from '../output.js';

type Perform = (action: (io: CommandIo) => Promise<number | undefined>) => Promise<void>;

/** Adds `ci` and the hidden `job`, which its workers run. */
export function addCi(program: Command, io: CommandIo, perform: Perform, version: string): void {
  const command = program
    .command('ci')
    .description('replay recorded traces as regression tests, in parallel')
    .argument('[target]', 'manifest, or folder of traces (default: revenant.yaml here)')
    .option('--only <pattern>', 'only traces whose name contains this (or matches, with *)')
    .addOption(
      new Option('--jobs <count>', 'parallel traces (default: as processors and memory allow)').argParser(
        parseCount,
      ),
    )
    .addOption(workerMemory())
    .addOption(new Option('--retries <count>', 'further attempts after a failure').argParser(parseWhole))
    .option('--strict', 'a skipped trace is a failure')
    .option('--junit <file>', 'write results as JUnit XML')
    .option('--html <file>', 'write a report as one HTML file')
    .option('--artifacts <folder>', 'write log, report and output of failed traces to this folder')
    .option('--queue <url>', 'submit to `revenant worker`s through a Redis, such as redis://localhost:6379')
    .addOption(queuePrefix())
    .addOption(
      new Option('--queue-patience <seconds>', 'how long to wait for a worker that can replay a trace')
        .argParser(parseSeconds)
        .default(300),
    )
    .option('--store <place>', 'with --queue: transfer traces through this folder or s3://BUCKET/PREFIX')
    .option('--changed-since <commit>', 'only traces that changed, or whose expectations did, by git')
    .option('--fresh', 'replay unchanged traces, too')
    .option(
      '--cache <folder>',
      'where results are cached (default: revenant/ci in $XDG_CACHE_HOME or ~/.cache)',
    )
    .option('--no-cache', 'neither read nor write cached results')
    .option('--json', 'results as JSON on standard output')
    .option('--list', 'print the traces, replay nothing')
    .option('--quiet', 'no progress and no summary');
  addOverrides(command)
    .addHelpText(
      'after',
      exitCodesText(helpWidth(io.columns(1)), [
        'ok',
        'diverged',
        'unjudged',
        'skipped',
        'manifest',
        'queue',
        'output',
      ]),
    )
    .action((target: string | undefined, options: CiCommandOptions) =>
      perform(async () => {
        const { ciCommand } = await import('../commands/ci.js');
        return ciCommand(target, options, io, environment(version));
      }),
    );
  addWorker(program, perform, io, version);
  program
    .command('job', { hidden: true })
    .action(() => perform(async () => (await import('../commands/job-process.js')).jobCommand(io)));
}

const queuePrefix = (): Option =>
  new Option('--queue-prefix <name>', 'separates installations that share a Redis').default('revenant');

const workerMemory = (): Option =>
  new Option('--worker-memory <size>', "memory limit of a worker process, without the guest's")
    .argParser(parseSize)
    .default(1024 ** 3, '1G');

function addWorker(program: Command, perform: Perform, io: CommandIo, version: string): void {
  program
    .command('worker')
    .description('run the jobs that `revenant ci --queue` submits, until stopped')
    .requiredOption('--queue <url>', 'a Redis, such as redis://localhost:6379')
    .addOption(queuePrefix())
    .addOption(
      new Option('--jobs <count>', 'traces at the same time (default: as many as processors)').argParser(
        parseCount,
      ),
    )
    .option('--name <name>', "this worker's name in results (default: host and process)")
    .addOption(new Option('--memory <size>', 'guest memory limit of a trace').argParser(parseSize))
    .addOption(workerMemory())
    .addOption(new Option('--machine <kind>', 'where to run').choices(MACHINE_CHOICES).default('auto'))
    .addOption(
      new Option(
        '--lock-seconds <seconds>',
        'a job whose worker does not renew its lock for this long is given to another',
      )
        .argParser(parseSeconds)
        .default(30),
    )
    .option('--store <place>', "where traces are fetched from, overriding the job's store")
    .option('--cache <folder>', 'where fetched traces are kept')
    .action((options: WorkerCommandOptions) =>
      perform(async () => {
        const { workerCommand } = await import('../commands/worker.js');
        return workerCommand(options, io, environment(version));
      }),
    );
}

/** Settings that override the manifest's. */
function addOverrides(command: Command): Command {
  return command
    .addOption(new Option('--machine <kind>', 'where to run').choices(MACHINE_CHOICES))
    .option('--cpu <model>', "processor of the emulated machine, as QEMU's -cpu names it")
    .addOption(
      new Option('--memory <size>', 'guest memory limit of a trace, such as 512M or 2G').argParser(parseSize),
    )
    .addOption(new Option('--timeout <seconds>', 'time limit of a trace').argParser(parseSeconds))
    .addOption(
      new Option(
        '--stall-limit <seconds>',
        'time limit in the guest without reaching the next frame',
      ).argParser(parseSeconds),
    )
    .option('--verify-ticks', "count every tick exactly, and compare each frame's")
    .option('--unpacked', 'the traces were not packed: use the files of this machine that they refer to')
    .option(
      '--files <folder>',
      'the traces may refer or link to files below this folder (repeatable)',
      (folder: string, before: string[] = []) => [...before, folder],
    )
    .addOption(
      new Option('--clock <which>', "clocks of questions' calls: the recording's, or this machine's").choices(
        ['recorded', 'now'],
      ),
    );
}

const environment = (version: string): CiEnvironment => ({
  version,
  variables: process.env,
  date: () => Date.now(),
});
