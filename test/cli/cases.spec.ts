/**
 * The commands of the cases beside the project, from their descriptions, with the results that
 * these expect. Each cause also has its own tests, on recordings of the project; these are the
 * users' commands.
 */
import { describe, expect } from 'vitest';
import { caseTrace, itOn, larger } from '../collections.js';
import { runRevenant, type Finished } from '../jobs/run-revenant.js';
import { machineFor } from '../machines.js';

/**
 * Texts that a command must print, on either stream, in this order within a stream; texts that it must not print; its
 * exit code.
 */
interface Right {
  readonly says?: readonly (string | RegExp)[];
  readonly never?: RegExp;
  readonly code?: number;
}

type Command = readonly [kind: 'replay' | 'call' | 'gdb', words: readonly string[], right: Right];

const at = (place: string, ...expressions: string[]): string[] => ['--at', place, ...expressions];
const answers = (...lines: string[]): Right => ({ says: lines, code: 0 });
const replays = (...says: (string | RegExp)[]): Command => ['replay', [], { says, code: 0 }];

const OWN_FILE = ['--at', 'spot:1', '--at', 'spot:2', '--at', 'spot:3'];
const OWN_QUESTIONS = ['(char*)get()', 'size_fd()', '(char*)reopen()'];
const ownFile = answers(
  ...['first', 'SECOND', 'SEC'].flatMap((text, index) => [
    `spot:${index + 1}: (char*)get() = "${text}"`,
    `spot:${index + 1}: size_fd() = ${text.length}`,
    `spot:${index + 1}: (char*)reopen() = "${text}"`,
  ]),
);
const INSIDE_PATCH = 'a breakpoint inside of code that rr patched: it stops after that';

const cases: readonly (readonly [name: string, trace: string | null, commands: readonly Command[]])[] = [
  [
    'big-address-space',
    caseTrace('reserve'),
    [['call', at('exit', '(int)map_some(4096)'), answers('= 0\n')]],
  ],
  [
    'break-in-patch',
    caseTrace('asmcall'),
    [
      [
        'gdb',
        ['break asmcall.S:7', 'continue', 'backtrace 2'],
        { says: [INSIDE_PATCH, 'raw_getpid', 'main'], code: 0 },
      ],
      [
        'gdb',
        ['hbreak asmcall.S:7', 'continue', 'backtrace 2'],
        { says: [INSIDE_PATCH, 'raw_getpid', 'main'], code: 0 },
      ],
      ['call', at('raw_getpid+7', '(int)getpid()'), { says: [/= 7336\n/], code: 0 }],
      ['call', at('asmcall.S:7', '(int)getpid()'), { says: [/= 7336\n/], code: 0 }],
    ],
  ],
  [
    'call-ifunc',
    larger('zen2/tree'),
    [
      ['call', at('exit', '(unsigned long)strlen("hello")'), answers('= 5\n')],
      ['call', at('nosuchfunction', '1'), { says: ['has a symbol nosuchfunction'], code: 2 }],
    ],
  ],
  [
    'call-names',
    caseTrace('names'),
    [
      ['call', at('nosuch', '_Z5ratiov()'), { says: ['has a symbol nosuch'], code: 2 }],
      [
        'call',
        ['--at', 'work:2', '--at', 'shop::Counter::add:2', '--at', 'names.cpp:19', 'checked(3)'],
        answers(
          'work:2: checked(3) = 6',
          'shop::Counter::add:2: checked(3) = 6',
          'names.cpp:19: checked(3) = 6',
        ),
      ],
      ['call', at('checked(int)', 'checked(3)'), answers('= 6')],
      ['call', at('names.cpp:19:2', 'checked(3)'), answers('= 6')],
      [
        'call',
        [
          ...at('_Z4worki:2', 'checked(3)', '_Z7checkedi(3)', 'checked("three")', '(double)_Z4halfd(5.0)'),
          ...['(double)half(5.0)', '(double)ratio()', 'shop::inner::depth(1)', 'shop::Counter::twice(21)'],
          ...['(double)shop::price(&item, 3)', 'larger<int>(3, 4)'],
        ],
        answers('= 6', '= 6', '= 5', '= 2.5', '= 2.5', '= 0.375', '= 101', '= 42', '= 6.75', '= 4'),
      ],
      [
        'call',
        at('_Z4worki:2', 'checked'),
        { says: ['ambiguous', 'checked(char const*)', 'checked(int)'], code: 2 },
      ],
    ],
  ],
  ['call-return-address', caseTrace('unwind'), [['call', at('inner', 'dump_stack()'), answers('= 2\n')]]],
  [
    'call-return-address, exceptions',
    caseTrace('except'),
    [
      [
        'call',
        at('_Z9stop_herev', '_Z7checkedi(5)'),
        { says: ['terminate called after throwing', 'SIGABRT'], code: 9 },
      ],
    ],
  ],
  [
    'diversion-fds',
    caseTrace('evloop'),
    [
      ['call', at('here', 'patient(6)'), { says: ['= 7\n'], never: /Bad file descriptor/, code: 0 }],
      ['call', at('here', 'post()'), answers('= 2\n')],
    ],
  ],
  [
    'dlopen-in-call',
    caseTrace('loads'),
    [
      [
        'gdb',
        [
          'break spot',
          'continue',
          'print expat()',
          'print cancel()',
          'info sharedlibrary',
          'info address XML_ExpatVersion',
        ],
        {
          says: ['$1 = 1', '$2 = 1', /Yes.*libexpat/, /Yes.*libgcc_s/, 'XML_ExpatVersion'],
          never: /Error while mapping|Could not open/,
        },
      ],
      ['call', at('spot:1', 'expat()', 'same_library()'), answers('expat() = 1', 'same_library() = 1')],
    ],
  ],
  [
    'file-name-bytes',
    caseTrace('args.bad'),
    [
      replays('argv1[0]=255'),
      [
        'gdb',
        ['break main', 'continue'],
        { says: ['bad\\xff\\xfename, process', 'main (c=2'], never: /Traceback|Error/ },
      ],
    ],
  ],
  ['files-of-now', caseTrace('ownfile'), [['call', [...OWN_FILE, ...OWN_QUESTIONS], ownFile]]],
  ['files-of-now, removed', caseTrace('ownfile-gone'), [['call', [...OWN_FILE, ...OWN_QUESTIONS], ownFile]]],
  [
    'handlers-in-call',
    caseTrace('handlers'),
    [
      [
        'call',
        at('spot:1', 'install_and_raise()', 'cancel()', 'alarm_()', 'raise_usr1()'),
        answers('install_and_raise() = 1', 'cancel() = 1', 'alarm_() = 1', 'raise_usr1() = 1'),
      ],
      [
        'gdb',
        ['break spot', 'continue', 'print cancel()', 'info signals SIG32'],
        { says: ['$1 = 1', /No\s+No\s+Yes/] },
      ],
    ],
  ],
  [
    'inodes',
    caseTrace('shop'),
    [
      [
        'call',
        at('checkpoint_:1', `ask("insert into t(name,price) values('cherry', 9)")`, 'ask("vacuum")'),
        { says: [/insert.*= 0\n/, /vacuum.*= 0\n/], never: /readonly/, code: 0 },
      ],
    ],
  ],
  [
    'inodes, of an open file',
    caseTrace('ownfile'),
    [
      [
        'call',
        at('spot:1', 'ino_path()', 'ino_fd()', 'dev_fd()'),
        answers('= 2147396', '= 2147396', '= 65024'),
      ],
    ],
  ],
  [
    'killed-threads',
    caseTrace('exdeadlock'),
    [
      [
        'gdb',
        ['continue', 'info threads', 'print (int)getpid()', 'print $_siginfo.si_signo'],
        {
          says: ['SIGALRM', '"exdeadlock"', '"first"', '"second"', '$1 = 23509', /\$2 = \d/],
          never: /Unable to read/,
        },
      ],
    ],
  ],
  [
    'machine-after-watch',
    larger('zen2/tree'),
    [
      [
        'gdb',
        ['break insert', 'continue', 'delete', 'watch *(long*)&root', 'reverse-continue'],
        { says: ['No more reverse-execution history'], code: 0 },
      ],
      replays('replayed'),
    ],
  ],
  ['noncanonical-branch', caseTrace('smash'), [replays('died of SIGSEGV')]],
  [
    'pretty-printers',
    caseTrace('except'),
    [
      [
        'gdb',
        ['break stop_here', 'continue', 'print nodes', 'info auto-load python-scripts'],
        { says: [/\$1 = std::map with \d+ elements? = \{/, /Yes.*libstdc\+\+/], never: /_M_t/ },
      ],
    ],
  ],
  [
    'restarted-call-patched',
    caseTrace('sempatched'),
    [['call', at('spot:1', 'pause_a_while()'), answers('= 1\n')]],
  ],
  [
    'restarted-call-patched, poll',
    caseTrace('pollpatched'),
    [['call', at('spot:1', 'outcome()'), answers('= 99000\n')]],
  ],
  [
    'reverse-hidden-xsave',
    caseTrace('threecalls'),
    [
      [
        'gdb',
        [
          ...[
            'break f',
            'continue',
            'continue',
            'print n',
            'reverse-continue',
            'print n',
            'reverse-continue',
          ],
          'info registers rip',
        ],
        { says: ['$1 = 2', '$2 = 1', 'No more reverse-execution history', '_start'], never: /bug/ },
      ],
    ],
  ],
  [
    'self-reading-code',
    caseTrace('selfsum'),
    [['gdb', ['break work', 'continue', 'continue'], { says: [/same 22\n4019175474/], code: 0 }]],
  ],
  [
    'step-into-stub',
    caseTrace('special'),
    [
      [
        'gdb',
        ['break main', 'continue', ...Array<string>(6).fill('next')],
        { says: ['main'], never: /\?\? \(\)|Cannot find bounds/ },
      ],
    ],
  ],
  ['stop-continue', caseTrace('stopcont'), [replays('replayed')]],
  [
    'thread-names',
    caseTrace('names2'),
    [
      [
        'gdb',
        ['break here', 'continue', 'info threads', 'thread 2'],
        { says: ['* 1', '  2 ', 'Switching to thread 2'], never: /not well-formed|Unknown thread/ },
      ],
    ],
  ],
  ['umip', caseTrace('umip'), [replays('replayed')]],
  ['unmasked-sse', caseTrace('fenv'), [replays('died of SIGFPE')]],
  ['unmasked-sse, x87', caseTrace('x87'), [replays('x87 8 code 3')]],
  [
    'wall-clock',
    caseTrace('clocksfds'),
    [
      [
        'call',
        at('spot:1', 'wall_later()', 'real_later()', 'gtod_later()', 'mono_later()'),
        answers('wall_later() = 0', 'real_later() = 0', 'gtod_later() = 0', 'mono_later() = 0'),
      ],
      [
        'call',
        at('spot:1', 'ep_wait()', 'ev_ready()', 'tf_read()', 'mf_read()', 'pp_rw()'),
        answers('= 0\n', '= 1\n', '= 8\n', '= 4\n', '= 2\n'),
      ],
    ],
  ],
  ['xss-cpuid-leaf', caseTrace('xsstrue'), [replays('exited with status 0')]],
];

function run(kind: Command[0], trace: string, words: readonly string[]): Promise<Finished> {
  const machine = ['--machine', machineFor(trace)];
  if (kind !== 'gdb') return runRevenant([kind, trace, ...machine, ...words]);
  const commands = words.flatMap((word) => ['-ex', word]);
  return runRevenant(['gdb', trace, ...machine, '--', '-nx', '-batch', '-iex', 'set width 0', ...commands]);
}

function check({ stdout, stderr, code }: Finished, right: Right): void {
  const text = `${stdout}${stderr}`;
  const from = new Map([stdout, stderr].map((stream) => [stream, 0]));
  for (const said of right.says ?? []) {
    const found = [...from].find(([stream, at]) => {
      const rest = stream.slice(at);
      const index = typeof said === 'string' ? rest.indexOf(said) : rest.search(said);
      if (index >= 0) from.set(stream, at + index + (typeof said === 'string' ? said.length : 0));
      return index >= 0;
    });
    if (!found) throw new Error(`does not print ${String(said)} after the previous text:\n${text}`);
  }
  if (right.never) expect(text).not.toMatch(right.never);
  if (right.code !== undefined) expect(code, text).toBe(right.code);
}

describe.each(cases)('%s', (_name, trace, commands) => {
  commands.forEach(([kind, words, right]) =>
    itOn(trace, `${kind} ${words.join(' ; ')}`, async (folder) =>
      check(await run(kind, folder, words), right),
    ),
  );
});
