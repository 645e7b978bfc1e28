/** Questions whose answers could differ between runs: each is evaluated in its own diversion. */
import type { DiversionHandle } from '../../src/recording/divert.js';

export type Question = (d: DiversionHandle) => Promise<unknown>;
export type Questions = Readonly<Record<string, Question>>;

/** What `fill` returns, and the bytes that it left in a buffer. */
export async function filled(
  d: DiversionHandle,
  size: number,
  fill: (at: bigint) => Promise<unknown>,
): Promise<unknown[]> {
  const at = await d.call('malloc', size);
  d.writeMemory(at, new Uint8Array(size));
  const result = await fill(at);
  return [result, Buffer.from(d.readMemory(at, size)).toString('latin1')];
}

const into =
  (size: number, name: string, ...before: (number | string)[]): Question =>
  (d) =>
    filled(d, size, (at) => d.call(name, ...before, at));

const plain =
  (name: string, ...values: (number | string)[]): Question =>
  (d) =>
    d.call(name, ...values);

const named =
  (name: string, template: string): Question =>
  (d) =>
    filled(d, 64, (at) => {
      d.writeMemory(at, Buffer.from(`${template}\0`));
      return d.call(name, at);
    });

const text =
  (expression: string): Question =>
  async (d) =>
    (await d.evaluate(expression)).text;

const texts = (...expressions: string[]): Questions =>
  Object.fromEntries(expressions.map((expression) => [expression, text(expression)]));

/** Of the C library, in any program that has these functions. */
export const ofLibrary: Questions = {
  time: plain('time', 0),
  'time of day': (d) => filled(d, 16, (at) => d.call('gettimeofday', at, 0)),
  ...Object.fromEntries(
    [0, 1, 2, 3, 4, 5, 6, 7, 11].map((clock) => [`clock ${clock}`, into(16, 'clock_gettime', clock)]),
  ),
  'processor time': plain('clock'),
  times: into(32, 'times'),
  usage: into(144, 'getrusage', 0),
  'usage of children': into(144, 'getrusage', -1),
  sysinfo: into(112, 'sysinfo'),
  uname: into(390, 'uname'),
  'host name': (d) => filled(d, 64, (at) => d.call('gethostname', at, 64)),
  getpid: plain('getpid'),
  gettid: plain('gettid'),
  getppid: plain('getppid'),
  getpgrp: plain('getpgrp'),
  getsid: plain('getsid', 0),
  getrandom: (d) => filled(d, 32, (at) => d.call('getrandom', at, 32, 0)),
  getentropy: (d) => filled(d, 32, (at) => d.call('getentropy', at, 32)),
  arc4random_uniform: plain('arc4random_uniform', 1_000_000),
  random: plain('random'),
  malloc: async (d) => [
    await d.call('malloc', 100),
    await d.call('malloc', 1 << 20),
    await d.call('sbrk', 0),
  ],
  mapping: plain('mmap', 0, 1 << 16, 3, 0x22, -1, 0),
  mkstemp: named('mkstemp', '/tmp/revenant-again-XXXXXX'),
  mkdtemp: named('mkdtemp', '/tmp/revenant-again-XXXXXX'),
  tempnam: async (d) => d.readText(await d.call('tempnam', '/tmp', 'again')),
  'a pipe': (d) =>
    filled(d, 256, async (at) => {
      await d.call('pipe', at);
      return d.call('fstat', new DataView(d.readMemory(at, 4).slice().buffer).getInt32(0, true), at + 8n);
    }),
  'a new file': (d) =>
    filled(d, 160, async (at) => {
      const fd = Number(await d.call('open', '/tmp/revenant-again', 0o102, 0o600));
      await d.call('write', fd, 'text', 4);
      return d.call('fstat', fd, at);
    }),
  'a file in memory': (d) =>
    filled(d, 160, async (at) => d.call('fstat', Number(await d.call('memfd_create', 'again', 0)), at)),
  'standard output': (d) => filled(d, 160, (at) => d.call('fstat', 1, at)),
  statvfs: into(112, 'statvfs', '/'),
  'own link': (d) => filled(d, 128, (at) => d.call('readlink', '/proc/self/exe', at, 128)),
  'link of a descriptor': (d) => filled(d, 128, (at) => d.call('readlink', '/proc/self/fd/1', at, 128)),
  processors: async (d) => [
    await d.call('get_nprocs'),
    await d.call('get_nprocs_conf'),
    await d.call('sched_getcpu'),
  ],
  memory: async (d) => [await d.call('get_phys_pages'), await d.call('get_avphys_pages')],
  load: into(24, 'getloadavg'),
  'a child': plain('fork'),
  'after a sleep': async (d) => [await d.call('usleep', 1_500_000), await d.call('time', 0)],
  'an alarm': async (d) => [
    await d.call('alarm', 100),
    await d.call('usleep', 2_500_000),
    await d.call('alarm', 0),
  ],
  'a program': async (d) => {
    const command =
      'od -An -tx1 /proc/self/auxv | head -c 999; od -An -N8 -tx1 /dev/urandom; date +%N; echo $$ $RANDOM; ' +
      'cat /proc/self/stat /proc/uptime; for i in 1 2 3; do (echo $i; exec sleep 0.$i) & done; wait; ls -l /proc/self/fd';
    return [await d.call('system', command), d.output];
  },
};

const KERNEL_FILES = [
  ...['uptime', 'loadavg', 'stat', 'meminfo', 'cpuinfo', 'version', 'filesystems', 'self/maps', 'self/stat'],
  ...['self/statm', 'self/status', 'self/limits', 'self/cgroup', 'self/mounts', 'sys/kernel/random/boot_id'],
  ...['sys/kernel/random/uuid', 'sys/kernel/osrelease', 'sys/kernel/hostname', 'sys/vm/overcommit_memory'],
].map((name) => `/proc/${name}`);

/** Of the program test/guests/moments/leaks.cc. */
export const ofStreams: Questions = {
  ...texts(
    ...[
      ...['random_device_', 'system_clock_', 'steady_clock_', 'processor_clock_', 'thread_id_', 'addresses_'],
      ...['unordered_', 'exception_', 'local_time_', 'race_', 'spin_', 'compute_', 'temporary_', 'written_'],
      ...['cores_', 'future_'],
    ].map((name) => `(char*)${name}()`),
  ),
  ...Object.fromEntries(
    [
      ...KERNEL_FILES,
      ...['/sys/devices/system/cpu/online', '/sys/kernel/mm/transparent_hugepage/enabled'],
    ].map((path) => [path, text(`(char*)lines_("${path}")`)]),
  ),
  ...Object.fromEntries(
    ['/proc', '/proc/self', '/proc/self/task', '/dev', '/sys/devices/system/cpu', '/nowhere'].map((path) => [
      `names in ${path}`,
      text(`(char*)names_("${path}")`),
    ]),
  ),
};

/** Of test/guests/moments/fileworld.c. */
export const ofFiles: Questions = texts(
  ...[
    '(char*)contents("a")',
    '(char*)contents("b")',
    '(char*)contents("mapped")',
    '(char*)contents("sub/c")',
  ],
  ...['(char*)list("")', '(char*)list("sub")', '(char*)target("link")', '(char*)contents("link")'],
  ...['same("a", "link")', '(char*)received()', '(char*)passed("a")', 'end_child(15)'],
);

/** Of test/guests/moments/uvloop.c. */
export const ofLoop: Questions = texts('turn()', 'post()', 'say("hello")', 'pool()', 'tick()', 'once()');

/** Of test/guests/moments/waits.c. */
export const ofWaits: Questions = texts(
  ...[
    'all()',
    'waited(0)',
    'waited(6)',
    'child_ran(0)',
    'resume()',
    'alarm_left()',
    'pending(10)',
    'take(34)',
  ],
);
