/** A gdb that answers requests, one at a time; see evaluate.py for the other end. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { RevenantError } from '../engine/base/errors.js';
import { evaluateScript, gdbScript } from './gdb-scripts.js';
import { gdbSetup } from './gdb-setup.js';
import type { CallFrame } from '../recording/divert.js';
import type { Sysroot } from '../recording/sysroot.js';
import type { ExpressionValue } from '../diversion/call/evaluated.js';

export type GdbRequest =
  | { readonly connect: string }
  /** `moved`: the position changed, and other libraries may be loaded. */
  | { readonly synchronize: 'moved' | 'changed' }
  | { readonly evaluate: string }
  | { readonly stack: true };

/** Which members are present depends on the request; see evaluate.py. */
export interface GdbAnswer {
  readonly error?: string;
  /** Similar names, if the error is an unknown name. */
  readonly names?: readonly string[];
  /** An ambiguous name and its candidates. */
  readonly ambiguous?: readonly [name: string, candidates: readonly string[]];
  readonly text?: string;
  /** gdb's warnings, or ''. */
  readonly said?: string;
  readonly type?: string;
  readonly value?: ExpressionValue;
  /** Of a pointer to characters: the address, in decimal. */
  readonly textAt?: string;
  /** Frames of the current task, innermost first. */
  readonly frames?: readonly CallFrame[];
}

/** gdb's messages must not depend on the user's language, nor its searches on the user's settings. */
const ENVIRONMENT = { LC_ALL: 'C.UTF-8', PATH: '/usr/local/bin:/usr/bin:/bin' };
const SETTINGS = [
  'set debuginfod enabled off',
  'set width 0',
  'set height 0',
  'set style enabled off',
  'set host-charset UTF-8',
  'set target-charset UTF-8',
  // A call that does not return leaves the registers unchanged.
  'set unwindonsignal on',
  // It ends with SIGABRT and the C++ library's message.
  'set unwind-on-terminating-exception off',
];
/** Bytes of gdb's standard error that are kept for the message when it ends. */
const MOST_COMPLAINT = 2000;

/** gdb cannot be started. */
export class NoGdb extends RevenantError {}

export class GdbProcess {
  /** It runs; rejects with NoGdb. */
  readonly spawned: Promise<void>;
  private readonly child: ChildProcess;
  private rest = '';
  private complaint = '';
  private ended: RevenantError | null = null;
  private waiting: { resolve: (answer: GdbAnswer) => void; reject: (error: Error) => void } | null = null;

  /**
   * @param command the gdb to run
   * @param sysroot files of the recording; null: gdb asks the server for them
   */
  constructor(
    private readonly command: string,
    sysroot: Sysroot | null,
  ) {
    const first = [...gdbSetup(gdbScript, sysroot), ...SETTINGS].flatMap((line) => ['-iex', line]);
    const work = ['-ex', `source ${evaluateScript}`, '-ex', 'python serve()'];
    // In a session of its own: Ctrl-C is ours.
    this.child = spawn(command, ['-nx', '-q', '-batch', ...first, ...work], {
      stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
      env: ENVIRONMENT,
      detached: true,
    });
    this.spawned = new Promise((resolve, reject) => {
      this.child.once('spawn', resolve);
      this.child.once('error', (error) => reject(this.failed(error)));
    });
    this.spawned.catch(() => {}); // reported to the caller
    this.child.once('close', (code, signal) => this.end(signal ?? `exit code ${code}`));
    this.child.stdin?.on('error', () => {}); // reported when it ends
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.complaint = (this.complaint + bytes.toString()).slice(-MOST_COMPLAINT);
    });
    const answers = this.child.stdio[3] as Readable | undefined;
    answers?.on('data', (bytes: Buffer) => this.receive(bytes));
    answers?.on('error', () => {});
  }

  /** One request at a time. Rejects when gdb ends, or cannot be started. */
  ask(request: GdbRequest): Promise<GdbAnswer> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(this.ended);
      this.waiting = { resolve, reject };
      (this.child.stdin as Writable).write(`${asciiJson(request)}\n`);
    });
  }

  close(): void {
    this.ended ??= new RevenantError('E_INTERRUPTED', 'gdb was ended.');
    this.child.kill('SIGKILL');
  }

  private receive(bytes: Buffer): void {
    const lines = (this.rest + bytes.toString('latin1')).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const { waiting } = this;
      this.waiting = null;
      waiting?.resolve(JSON.parse(line, revive) as GdbAnswer);
    }
  }

  private failed({ message }: Error): NoGdb {
    const error = new NoGdb(
      'E_DEBUGGER',
      `Expressions with types are evaluated by gdb, and ${this.command} cannot be started: ${message}.`,
      'Install it (Debian: apt install gdb), or pass another with --gdb PATH.',
    );
    this.stop(error);
    return error;
  }

  private end(how: string): void {
    const said = this.complaint.trim();
    const text = `gdb, which evaluates expressions, has ended (${how})${said === '' ? '.' : `: ${said}`}`;
    this.stop(new RevenantError('E_EXPRESSION', text));
  }

  private stop(error: RevenantError): void {
    this.ended ??= error;
    this.waiting?.reject(this.ended);
    this.waiting = null;
  }
}

/** As ASCII. */
const asciiJson = (request: GdbRequest): string =>
  JSON.stringify(request).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** Numbers that JSON cannot represent exactly arrive as text. */
function revive(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { '#int': whole, '#address': address } = value as Record<string, unknown>;
  const digits = whole ?? address;
  return typeof digits === 'string' ? BigInt(digits) : value;
}
