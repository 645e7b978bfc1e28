/** What fails around a command. Each is a piece of shell in which "$@" is the command; it becomes the command, for which signals are. */

export interface Fault {
  readonly name: string;
  readonly shell: string;
  /** Commands that it is tried with; by default all. */
  readonly commands?: readonly string[];
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const mounted = (folder: string, options: string, more = ''): string =>
  `exec unshare --mount bash -c 'mount -t tmpfs ${options} none ${folder}; ${more} exec "$@"' bash "$@"`;

/** A user whose processes are counted, who owns nothing. */
let nobody = 61234;
/** Each with a separate user: kept machines count against limits, too. */
const asNobody = (shell: string): string =>
  `exec setpriv --reuid ${++nobody} --regid ${nobody} --clear-groups bash -c '${shell}' bash "$@"`;

/** Where the full disk is mounted. */
export const FULL = '/mnt';

export const faults: readonly Fault[] = [
  { name: 'nothing', shell: '"$@"' },
  {
    name: 'HOME below /proc',
    shell: '"$@"',
    environment: { HOME: '/proc/nowhere', XDG_CACHE_HOME: undefined },
  },
  {
    name: 'HOME=/, of others',
    shell: asNobody('exec "$@"'),
    environment: { HOME: '/', XDG_CACHE_HOME: undefined },
  },
  { name: 'no HOME', shell: '"$@"', environment: { HOME: undefined, XDG_CACHE_HOME: undefined } },
  {
    name: 'cache on a full disk',
    shell: mounted(FULL, '-o size=1m', `head -c 2m /dev/zero > ${FULL}/zero 2>/dev/null;`),
    environment: { XDG_CACHE_HOME: FULL },
  },
  {
    name: 'reports on a full disk',
    shell: mounted(FULL, '-o size=1m', `head -c 2m /dev/zero > ${FULL}/zero 2>/dev/null;`).replace(
      'exec "$@"\'',
      `exec "$@" --junit ${FULL}/r.xml --html ${FULL}/r.html --artifacts ${FULL}/artifacts'`,
    ),
    commands: ['ci'],
  },
  {
    name: 'reports in no folder',
    shell:
      'exec "$@" --junit /dev/null/r.xml --html /proc/nowhere/r.html --artifacts /proc/nowhere/artifacts',
    commands: ['ci'],
  },
  { name: 'stdout full', shell: 'exec "$@" > /dev/full' },
  { name: 'stderr full', shell: 'exec "$@" 2> /dev/full' },
  { name: 'stdout a closed pipe', shell: 'exec "$@" > >(true)' },
  { name: 'stderr a closed pipe', shell: 'exec "$@" 2> >(true)' },
  { name: 'stdin closed', shell: 'exec "$@" <&-' },
  { name: 'all closed', shell: 'exec "$@" <&- >&- 2>&-' },
  { name: 'ulimit -n 64', shell: 'ulimit -n 64; exec "$@"' },
  { name: 'ulimit -v 4000000', shell: 'ulimit -v 4000000; exec "$@"' },
  { name: 'ulimit -n 64 -v 4000000', shell: 'ulimit -n 64 -v 4000000; exec "$@"' },
  ...[12, 20, 30].map((most) => ({
    name: `ulimit -u ${most}`,
    shell: asNobody(`ulimit -u ${most}; exec "$@"`),
    environment: { HOME: '/nonexistent', XDG_CACHE_HOME: undefined },
  })),
  { name: 'no /dev/shm', shell: `exec unshare --mount bash -c 'umount -l /dev/shm; exec "$@"' bash "$@"` },
  {
    name: 'TMPDIR read-only',
    shell: mounted(FULL, '-o ro'),
    environment: { TMPDIR: FULL },
  },
  {
    name: 'TMPDIR full',
    shell: mounted(FULL, '-o size=4k', `head -c 9k /dev/zero > ${FULL}/zero 2>/dev/null;`),
    environment: { TMPDIR: FULL },
  },
  { name: 'no TMPDIR', shell: 'exec "$@"', environment: { TMPDIR: '/proc/nowhere' } },
  {
    name: 'TERM=dumb LANG=C NO_COLOR=1',
    shell: '"$@"',
    environment: { TERM: 'dumb', LANG: 'C', LC_ALL: 'C', NO_COLOR: '1' },
  },
];

/** Those of the quick run: one of each kind. */
export const QUICK: readonly string[] = [
  'HOME below /proc',
  'cache on a full disk',
  'reports on a full disk',
  'stdout full',
  'stderr full',
  'ulimit -n 64',
  'ulimit -v 4000000',
  'TMPDIR full',
  'ulimit -u 12',
];
