/** What ten breakpoints show going forwards is what they show going backwards, in mirror order. */
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { Reg, getRegister, getUnsigned } from '../../src/engine/base/registers.js';
import type { Gva } from '../../src/engine/base/address.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { acquireMachine } from '../machines.js';
import { caseTrace, itOn, recording, traceFolder } from '../collections.js';
import { goTo, open, run } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
}, 60_000);
afterAll(() => transport.close());
/** The runner reports in between: a test leaves it no turn. */
afterEach(() => new Promise((resolve) => setImmediate(resolve)));

/** Stops that are compared on one way. */
const MAX_STOPS = 20;
const STACK_BYTES = 128;
const SLOTS = [Reg.rip, Reg.rsp, Reg.rbp, Reg.rax, Reg.rbx, Reg.rdi, Reg.rsi, Reg.rdx, Reg.eflags];

/** Its position, registers and stack. */
function shown(target: TravelTarget): string {
  const tid = target.currentTid;
  const registers = target.registers(tid);
  const stack = new Uint8Array(STACK_BYTES);
  target.readMemory(tid, getUnsigned(registers, Reg.rsp) as Gva, stack);
  const values = SLOTS.map((slot) => getRegister(registers, slot).toString(16)).join(' ');
  return `frame ${target.frameTime} task ${tid}: ${values} ${Buffer.from(stack).toString('hex')}`;
}

/** Exits back for each one forth, and for a few that any way back begins with. */
const MOST_BACK = 3;
const AT_FIRST = 200;

/** What breakpoints show until the program ends, or at so many of them. */
function collect(target: TravelTarget, direction: 'forward' | 'backward', count: number): string[] {
  const found: string[] = [];
  while (found.length < count) {
    const { kind } = run(target, 'continue', direction);
    if (kind === 'history-end') break;
    if (kind === 'breakpoint') found.push(shown(target));
    else if (kind !== 'exited' && kind !== 'signal') found.push(kind);
  }
  return found;
}

interface Way {
  readonly name: string;
  readonly folder: string | null;
  /** The frame where it begins. */
  readonly from: number;
  readonly symbols: string;
}

const ways: Way[] = [
  {
    name: 'bash, on Zen 2 with protection keys',
    folder: recording('real/git'),
    from: 240,
    symbols:
      'execute_command execute_command_internal make_child parse_command reader_loop dispose_command ' +
      'find_variable bind_variable expand_word xmalloc',
  },
  {
    name: 'processes, on Zen 2',
    folder: traceFolder('zen2/spawn'),
    from: 120,
    symbols: 'main fork waitpid execve pipe read write printf _exit exit',
  },
  {
    name: 'Python, on Zen 2 with protection keys',
    folder: recording('real/python'),
    from: 1000,
    symbols:
      'PyImport_ImportModuleLevelObject PyErr_SetObject PyThread_start_new_thread PyModule_Create2 PyType_Ready ' +
      'PyThread_acquire_lock PyObject_IsTrue PyList_New PyDict_New PyGILState_Ensure',
  },
  {
    name: 'exceptions of C++, on Zen 3',
    folder: caseTrace('except'),
    from: 80,
    symbols:
      'main __cxa_throw __cxa_begin_catch __cxa_end_catch _Unwind_RaiseException __cxa_allocate_exception ' +
      '__cxa_free_exception _Unwind_Resume _Unwind_GetIP __gxx_personality_v0',
  },
  {
    name: 'a tree, on Skylake with protection keys',
    folder: traceFolder('skylake-pku/tree'),
    from: 60,
    symbols: 'main insert describe tree_sum print_tree find malloc printf write exit',
  },
];

describe('ten breakpoints, forwards and backwards', () => {
  for (const { name, folder, from, symbols } of ways) {
    itOn(folder, name, (trace) => {
      const { target, close } = open(transport, trace);
      try {
        goTo(target, from);
        for (const symbol of symbols.split(' ')) {
          const address = target.symbol(target.currentTid, symbol);
          if (address !== null) target.addBreakpoint({ pid: null, address });
        }
        const { session } = target;
        const begun = session.exits;
        const forth = collect(target, 'forward', MAX_STOPS);
        const exits = session.exits - begun;
        expect(forth.length).toBeGreaterThan(5);
        // At the last of the limit it is at a stop; past the last of all it is not.
        const standing = forth.length === MAX_STOPS ? forth.slice(0, -1) : forth;
        const back = collect(target, 'backward', standing.length);
        expect(back).toEqual(standing.toReversed());
        expect(session.exits - begun - exits).toBeLessThan(MOST_BACK * exits + AT_FIRST);
      } finally {
        close();
      }
    });
  }
});
