import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import type { Logger } from '../engine/base/log.js';
import { tickStrategyFor } from '../engine/replay/ticks/choose.js';
import { ReplaySession, type ReplayOptions } from '../engine/replay/session.js';
import { TraceReader } from '../engine/trace/reader.js';
import { TravelTarget, type TravelOptions } from '../engine/travel/target.js';
import type { MachineForTrace, MachineOptions } from '../recording/machines.js';
import { Machines } from '../recording/machines.js';
import { MACHINE_KINDS, MACHINE_TITLES, type MachineKind } from '../machine/kinds.js';

const root = path.resolve(import.meta.dirname, '../..');
/**
 * The folders of the larger recordings beside the project, and of those that specs have unpacked, if present; the samples
 * always are.
 */
const FOLDERS = ['../shared/traces', 'traces'];
/** Each folder in it has one group, unpacked. */
const UNPACKED = path.join(root, 'build/recordings/groups');
const STALL_LIMIT_SECONDS = 300;

const silent: Logger = { debug() {}, info() {}, warn() {} };

/** What subjects measure with: traces, a machine that is kept from one to the next, the command line. */
export class BenchContext {
  private readonly machines: Machines;
  /** What the last replay ran on. */
  machineDescription = 'none';

  /** @param say reports progress to the user */
  constructor(
    private readonly options: MachineOptions,
    readonly say: (text: string) => void,
  ) {
    this.machines = new Machines(options, silent, say);
  }

  /** Milliseconds of a monotonic clock. */
  readonly now = (): number => performance.now();

  /** Folder of the first of these traces ("zen2/syscalls") that is on this machine, or null. */
  trace(...names: string[]): string | null {
    const unpacked = fs.existsSync(UNPACKED)
      ? fs.readdirSync(UNPACKED).map((group) => path.join(UNPACKED, group))
      : [];
    const folders = [...FOLDERS.map((folder) => path.resolve(root, folder)), ...unpacked];
    const candidates = names.flatMap((name) => folders.map((folder) => path.join(folder, name)));
    return candidates.find((folder) => fs.existsSync(path.join(folder, 'version'))) ?? null;
  }

  /**
   * Replays a trace as far as `measure` takes it. The machine is started before, outside of the measured time. @param
   * trace a folder
   */
  async replay<T>(
    trace: string,
    measure: (session: ReplaySession, machine: MachineForTrace) => T | Promise<T>,
    options: Partial<ReplayOptions> = {},
  ): Promise<T> {
    return this.opened(
      trace,
      (common, made) =>
        ReplaySession.open({
          ...common,
          tickStrategy: tickStrategyFor(made.probeReport, Boolean(options.verifyTicks)),
          ...options,
        }),
      measure,
    );
  }

  /** The same for a replay that can stop and go back. */
  async travel<T>(
    trace: string,
    measure: (target: TravelTarget) => T | Promise<T>,
    options: Partial<TravelOptions> = {},
  ): Promise<T> {
    return this.opened(
      trace,
      (common, { probeReport: { dataBreakpoints } }) =>
        TravelTarget.open({ ...common, dataBreakpoints, ...options }),
      measure,
    );
  }

  /** A trace's machine without a replay on it. */
  async onMachine<T>(trace: string, measure: (made: MachineForTrace) => T | Promise<T>): Promise<T> {
    const reader = TraceReader.open(trace);
    try {
      const made = await this.machines.forTrace(reader);
      this.machineDescription = made.facts.description;
      return await measure(made);
    } finally {
      reader.close();
    }
  }

  /** Opens the measured replay on the trace's machine, and closes it afterwards. */
  private async opened<O extends { close(): void }, T>(
    trace: string,
    open: (common: ReplayOptions, made: MachineForTrace) => O,
    measure: (opened: O, made: MachineForTrace) => T | Promise<T>,
  ): Promise<T> {
    const reader = TraceReader.open(trace);
    try {
      const made = await this.machines.forTrace(reader);
      this.machineDescription = made.facts.description;
      const common = {
        trace: reader,
        machine: made.machine,
        log: silent,
        output: () => {},
        memoryLimitBytes: made.memoryLimitBytes,
        stallLimitMicros: STALL_LIMIT_SECONDS * 1e6,
      };
      const opened = open(common, made);
      try {
        return await measure(opened, made);
      } finally {
        opened.close();
      }
    } finally {
      reader.close();
    }
  }

  /**
   * Runs `revenant` as a user would.
   * @param onMachine the command takes --machine and --cpu
   * @returns its JSON document (null without --json) and the seconds from start to end
   */
  command(args: readonly string[], onMachine = true): { seconds: number; document: unknown } {
    const { machine, cpu } = this.options;
    const where = onMachine
      ? ['--machine', machine ?? 'auto', ...(cpu === undefined ? [] : ['--cpu', cpu])]
      : [];
    this.close(); // a machine has one client at a time
    const begun = this.now();
    const done = spawnSync(process.execPath, [path.join(root, 'bin/revenant'), ...args, ...where], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const seconds = (this.now() - begun) / 1000;
    if (done.status !== 0) throw new Error(`revenant ${args.join(' ')}: ${done.stderr.trim()}`);
    return { seconds, document: done.stdout.startsWith('{') ? JSON.parse(done.stdout) : null };
  }

  /** The machines that were asked for; with `auto`, all. */
  get kinds(): readonly MachineKind[] {
    const { machine } = this.options;
    return machine === undefined || machine === 'auto' ? MACHINE_KINDS : [machine];
  }

  /** Measures on one machine, and releases it. Null where it is not to be had. */
  async on<T>(kind: MachineKind, measure: (context: BenchContext) => Promise<T>): Promise<T | null> {
    const context = new BenchContext({ ...this.options, machine: kind }, this.say);
    try {
      return await measure(context);
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
      this.say(`${MACHINE_TITLES[kind]}: ${error.message.split('\n')[0]}`);
      return null;
    } finally {
      if (context.machineDescription !== 'none') this.machineDescription = context.machineDescription;
      context.close();
    }
  }

  /** Releases the machine; the next replay leases it again. */
  close(): void {
    this.machines.close();
  }
}
