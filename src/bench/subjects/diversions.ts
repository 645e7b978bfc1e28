import { rateText } from '../../engine/base/quantities.js';
import { divert, type DiversionHandle } from '../../recording/divert.js';
import type { ReplaySession } from '../../engine/replay/session.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { formatMicros, median } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const DIVERSIONS = 100;
const CALLS = 20_000;
const BUDGET_MICROS = 1_000_000;
/** Before the program ends, where all that it made is there. */
const FRAMES_BEFORE_END = 3;
const [READ_WRITE_EXECUTE, PRIVATE_ANONYMOUS, NO_FILE] = [7, 0x22, -1];
const GETPPID = 110;

/** `for (n = CALLS; n; n--) getppid();` */
const loop = Uint8Array.of(
  ...[0x53], // push rbx
  ...[0xbb, CALLS & 0xff, (CALLS >> 8) & 0xff, CALLS >> 16, 0], // mov ebx, CALLS
  ...[0xb8, GETPPID, 0, 0, 0], // mov eax, GETPPID
  ...[0x0f, 0x05], // syscall
  ...[0xff, 0xcb], // dec ebx
  ...[0x75, 0xf5], // jnz to the second mov
  ...[0x5b, 0xc3], // pop rbx; ret
);

function frameNearEnd(folder: string): number {
  const reader = TraceReader.open(folder);
  let frames = 0;
  while (reader.advance() !== null) frames++;
  reader.close();
  return frames - FRAMES_BEFORE_END;
}

async function measure(session: ReplaySession, frame: number, now: () => number): Promise<Row[]> {
  while (session.frameTime < frame && session.advance(frame - session.frameTime, BUDGET_MICROS) !== 'end');
  const source = session.stand();
  const timed = async (work: (diversion: DiversionHandle) => Promise<unknown>): Promise<number> => {
    const begun = now();
    await divert(source, work);
    return (now() - begun) * 1000;
  };
  const repeated = async (work: (diversion: DiversionHandle) => Promise<unknown>): Promise<number> => {
    const times: number[] = [];
    for (let n = 0; n < DIVERSIONS; n++) times.push(await timed(work));
    return median(times);
  };
  const empty = await repeated(() => Promise.resolve());
  const call = await repeated((d) => d.call('strlen', 'a short string'));
  let seconds = 0;
  await timed(async (d) => {
    const code = await d.call('mmap', 0, 4096, READ_WRITE_EXECUTE, PRIVATE_ANONYMOUS, NO_FILE, 0);
    d.writeMemory(code, loop);
    const begun = now();
    await d.evaluate(`${code}()`);
    seconds = (now() - begun) / 1000;
  });
  return [
    { what: `start and end (median of ${DIVERSIONS})`, measured: formatMicros(empty) },
    { what: '  with a call in between', measured: formatMicros(call) },
    { what: 'system calls (getppid)', measured: rateText(CALLS, seconds) },
  ];
}

export const diversions: Subject = {
  name: 'diversions',
  about: 'time to start and end a diversion, system calls a second in one',
  run(context) {
    const folder = context.trace('zen2/tree', 'skylake-pku/tree');
    if (folder === null) return [];
    const frame = frameNearEnd(folder);
    return context.replay(folder, (session) => measure(session, frame, context.now));
  },
};
