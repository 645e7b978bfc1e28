/** The process machine on systems that lack something, and many of it at the same time. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { nativeFolder } from '../../src/engine/base/native-folder.js';
import { openProcess, PROCESS_BASE } from '../../src/machine/process.js';
import { sample } from '../collections.js';
import { processProblem } from '../machines.js';
import { openSession, type OpenedSession } from '../replay/open-session.js';

const root = path.resolve(import.meta.dirname, '../..');
const HELLO = sample('zen2/hello-static');
const THREADS = sample('zen2/race');

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command behind a shell script that makes its surroundings; `"$@"` is the command. Scripts can be nested. */
async function inside(script: string, command: readonly string[]): Promise<Ended> {
  const child = spawn('sh', ['-c', `set -e\n${script}`, 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = async (stream: Readable): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('latin1');
  };
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('exit', resolve)),
  ]);
  return { status, stdout, stderr };
}

const revenant = (...words: string[]): string[] => [
  process.execPath,
  path.join(root, 'bin/revenant'),
  ...words,
];

const replay = (folder: string, machine: string): string[] =>
  revenant('replay', folder, '--machine', machine);

/** Bare /dev, and neither KVM nor QEMU in it. */
const BARE = `
  dev=$(mktemp -d)
  trap 'rmdir "$dev"' EXIT
  export dev
  unshare --user --map-root-user --mount sh -ec '
    mount -t tmpfs none "$dev"
    for each in null zero random urandom; do touch "$dev/$each"; mount --bind "/dev/$each" "$dev/$each"; done
    touch "$dev/none"
    for each in /usr/bin/qemu-* /usr/local/bin/qemu-*; do
      if [ -e "$each" ]; then mount --bind "$dev/none" "$each"; fi
    done
    mount --rbind "$dev" /dev
    test ! -e /dev/kvm
    test ! -e /dev/shm
    "$@"' sh "$@"`;

const ONE_PROCESSOR = 'exec taskset -c "$(taskset -cp $$ | sed "s/.*: //; s/[,-].*//")" "$@"';
const NO_NAMESPACES = `exec unshare --user --map-root-user sh -ec '
       echo 0 > /proc/sys/user/max_user_namespaces
       if unshare --user true 2> /dev/null; then exit 1; fi
       exec "$@"' sh "$@"`;

/** The command of a script that is in the surroundings of another. */
const nested = (script: string): string => `set -- sh -ec '${script.replaceAll("'", `'\\''`)}' sh "$@"`;

const SURROUNDINGS: readonly (readonly [string, string])[] = [
  ['one processor', ONE_PROCESSOR],
  ['no namespaces for users', NO_NAMESPACES],
  ['no /dev/shm, no /dev/kvm, no QEMU', BARE],
  ['another user', 'HOME=/ exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$@"'],
  [
    'one processor, no namespaces, no /dev/shm, no /dev/kvm, no QEMU',
    `${nested(ONE_PROCESSOR)}\n${nested(NO_NAMESPACES)}\n${BARE}`,
  ],
];

describe.skipIf(processProblem !== null)(`the process machine (skipped: ${processProblem})`, () => {
  const outputs = new Map<string, Promise<Ended>>();
  /** What a replay prints without any of this. */
  const plainly = async (folder: string): Promise<string> => {
    const known = outputs.get(folder) ?? inside('exec "$@"', replay(folder, 'process'));
    outputs.set(folder, known);
    return (await known).stdout;
  };

  describe.each(SURROUNDINGS)('with %s', async (name, script) => {
    const told = name.includes('no namespaces')
      ? /machine: a process, without namespaces/
      : /machine: a process/;
    const possible = await inside(script, [
      process.execPath,
      '-e',
      `fs.readdirSync(${JSON.stringify(root)})`,
    ]);
    const reason = possible.status === 0 ? null : possible.stderr.trim() || `status ${possible.status}`;

    it.skipIf(reason !== null).each([
      ['one thread', HELLO, 'process'],
      ['threads', THREADS, 'process'],
      ['the automatic choice', HELLO, 'auto'],
    ])(`replays as anywhere (skipped: ${reason}): %s`, async (_name, folder, machine) => {
      const { status, stdout, stderr } = await inside(script, replay(folder, machine));
      expect([status, stderr]).toEqual([0, expect.stringMatching(told)]);
      expect(stdout).toBe(await plainly(folder));
    });
  });

  describe('without QEMU and /dev/kvm', async () => {
    const possible = await inside(BARE, ['true']);
    const reason = possible.status === 0 ? null : possible.stderr.trim() || `status ${possible.status}`;
    const TREE = sample('skylake-pku/tree');
    const GDB = ['break insert', 'continue', 'continue', 'reverse-continue', 'print key'];

    it.skipIf(reason !== null).each([
      [
        'gdb, forwards and backwards',
        revenant('gdb', TREE, '--', '-nx', '-batch', ...GDB.flatMap((line) => ['-ex', line])),
        /\$1 = 108\n/,
      ],
      ['calls', revenant('call', TREE, '--at', 'exit', '(int)tree_sum(root)', '--quiet'), /= 1431\n$/],
      ['CI', revenant('ci', HELLO, '--no-cache', '--json'), /"passed": 1\b/],
      ['checkpoints', revenant('checkpoint', TREE, '--at', '50', '--output', '/dev/checkpoints'), /^$/],
      ['scripts', [process.execPath, path.join(root, 'examples/divert.mjs')], /^sum 1431\n/],
    ])(`has %s (skipped: ${reason})`, async (_name, command, expected) => {
      const { status, stdout, stderr } = await inside(BARE, command);
      expect(status, stderr).toBe(0);
      expect(stdout).toMatch(expected);
      expect(stderr).not.toMatch(/emulated machine/);
    });

    it.skipIf(reason !== null)(`says why a trace needs QEMU (skipped: ${reason})`, async () => {
      const { status, stdout, stderr } = await inside(BARE, replay(sample('haswell/ldt'), 'auto'));
      expect([status, stdout]).toEqual([4, '']);
      expect(stderr).toMatch(
        /a segment of its own .*emulated machine cannot be started: QEMU .* is not installed/,
      );
    });
  });

  it('works, or says why not, with 64 descriptors', async () => {
    const { status, stderr } = await inside('ulimit -n 64\nexec "$@"', replay(HELLO, 'process'));
    // Node itself has many files open while it loads a program.
    if (status === 0) expect(stderr).toMatch(/machine: a process/);
    else expect([status, stderr]).toEqual([71, expect.stringMatching(/EMFILE[^]*`ulimit -n 1024`/)]);
    const script = `require(${JSON.stringify(path.join(nativeFolder(), 'revenant.node'))})
      .openProcess(${64 << 20}, ${JSON.stringify(path.join(nativeFolder(), 'revenant-sandbox'))}, ${PROCESS_BASE})`;
    const opened = await inside('ulimit -n 64\nexec "$@"', [process.execPath, '-e', script]);
    expect([opened.status, opened.stderr]).toEqual([0, '']);
  });

  it('says that it goes on without namespaces', () => {
    const transport = openProcess({ memoryMiB: 64, namespaces: false });
    expect(transport.description).toBe('a process, without namespaces');
    transport.close();
  });

  it('replays fifty recordings side by side, each within its limit', async () => {
    const COUNT = 50;
    const LIMIT = 64 * 2 ** 20;
    const transports: VcpuTransport[] = [];
    const sessions: OpenedSession[] = [];
    const written: string[] = [];
    try {
      for (let i = 0; i < COUNT; i++) {
        transports.push(openProcess({ memoryMiB: 128 }));
        written.push('');
        const output = (_fd: number, bytes: Uint8Array): void => {
          written[i] += Buffer.from(bytes).toString('latin1');
        };
        const limits = { memoryLimitBytes: LIMIT, output };
        sessions.push(openSession(transports[i], i % 2 ? HELLO : THREADS, limits));
      }
      const running = new Set(sessions);
      // A few frames of each in turn.
      while (running.size > 0) {
        for (const each of running) {
          if (each.session.advance(4, 5_000) === 'end') running.delete(each);
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      for (const { session } of sessions) expect(session.stats.peakPages * 4096).toBeLessThan(LIMIT);
      for (const [i, text] of written.entries()) expect([i, text]).toEqual([i, written[i % 2]]);
      expect(written[1]).toContain('hello from a recording');
    } finally {
      for (const each of sessions) each.close();
      for (const each of transports) each.close();
    }
  });
});
