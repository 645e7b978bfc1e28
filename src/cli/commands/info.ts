import { hex } from '../../engine/base/address.js';
import { SIGNAL_NAMES } from '../../engine/base/linux.js';
import { countText, durationText, sizeText } from '../../engine/base/quantities.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { traceUse } from '../../engine/trace/use.js';
import { carriersOf, type Carrier } from '../../machine/carriers.js';
import { MACHINE_TITLES } from '../../machine/kinds.js';
import { describeApproximate } from '../approximate-code.js';
import { jsonValue } from '../failure.js';
import type { CommandIo } from '../output.js';
import { printable } from '../printable.js';
import { formatTable } from '../table.js';
import type { TraceFacts } from '../trace-facts.js';
import { gatherFacts } from '../trace-facts.js';

export interface InfoOptions {
  trace: string;
  json?: boolean;
}

/** `revenant info TRACE`: what was recorded, where, on which processor, and what can replay it. Reads the whole trace. */
export async function infoCommand(
  options: InfoOptions,
  io: Pick<CommandIo, 'out' | 'columns'>,
): Promise<undefined> {
  const reader = TraceReader.open(options.trace);
  try {
    const facts = gatherFacts(reader);
    // Without a header the processor is not known, and no machine either.
    const carriers = facts.processor ? await carriersOf(reader.header, traceUse(reader)) : [];
    io.out(
      options.json
        ? `${JSON.stringify({ ...facts, machines: carriers.map(carrierJson) }, jsonValue, 2)}\n`
        : infoText(facts, carriers, io.columns(1)),
    );
  } finally {
    reader.close();
  }
}

const carrierJson = ({ kind, tried, ok, reasons, hint }: Carrier): object => ({
  kind,
  canReplay: ok,
  tried,
  reasons,
  hint,
});

function carrierText({ kind, tried, ok, reasons }: Carrier): string {
  const title = MACHINE_TITLES[kind];
  if (ok) return `${title} can replay it${tried ? '' : ', as far as known before it starts'}`;
  const more = reasons.length > 1 ? ` And ${reasons.length - 1} more (see --json).` : '';
  return `${title} cannot replay it: ${reasons[0]}${more}`;
}

/** As typed in a shell: quoted where it would split or expand. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

function endText(facts: TraceFacts): string {
  if (facts.exitStatus === null) return 'the trace ends before the program does';
  const signal = facts.exitStatus & 0x7f;
  if (signal !== 0) return `died of ${SIGNAL_NAMES[signal] ?? `signal ${signal}`}`;
  return `exited with status ${facts.exitStatus >> 8}`;
}

function processorText(facts: TraceFacts): string[][] {
  const { processor, xcr0 } = facts;
  if (!processor) return [['processor', 'not stated']];
  const { name, vendor, family, model, stepping } = processor;
  return [
    ['processor', `${name} (${vendor}, family ${family}, model ${model}, stepping ${stepping})`],
    ['XCR0', xcr0.value === 0n ? 'not stated' : `${hex(xcr0.value)} (${xcr0.components.join(', ')})`],
    ['features', processor.features.join(' ')],
    ...(facts.inSoftware.length > 0
      ? [['', `in software, where the processor lacks it: ${facts.inSoftware.join(' ')}`]]
      : []),
    [
      'CPUID',
      `${countText(processor.cpuidRecords, 'record')}, ${processor.cpuidFaulting ? 'trapped while recording' : 'not trapped while recording'}`,
    ],
  ];
}

function recorderText(facts: TraceFacts): string {
  const parts = [
    facts.recordedBy,
    facts.syscallBuffering ? 'system calls buffered' : 'no system-call buffering',
    facts.chaosMode === 'true' ? 'chaos mode' : '',
    facts.bindToCpu >= 0 ? `on CPU ${facts.bindToCpu}` : 'not bound to a CPU',
    facts.header.cpuImproperlyConfigured === 'true' ? 'its processor misconfigured: ticks may be wrong' : '',
    facts.incomplete ? 'INCOMPLETE: the recorder was killed' : '',
    !facts.incomplete && !facts.header.ok ? 'the recorder ended abnormally' : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function unameText({ uname }: TraceFacts): string {
  if (!uname) return 'not stated';
  return [uname.sysname, uname.release, uname.version, uname.machine, `(${uname.nodename})`].join(' ');
}

function infoText(facts: TraceFacts, carriers: readonly Carrier[], width: number): string {
  const bytes = facts.files.reduce((sum, file) => sum + file.size, 0);
  const exited = facts.tasks.filter((task) => task.events.includes('exit')).length;
  const rows = [
    ['trace', `${facts.trace} (version ${facts.traceVersion}${facts.uuid ? `, ${facts.uuid}` : ''})`],
    ['command', facts.commandLine.map(quoted).join(' ') || 'none: the trace holds no exec'],
    ['executable', facts.executable ?? 'none'],
    ['end', endText(facts)],
    ['recorder', recorderText(facts)],
    ['system', unameText(facts)],
    ...processorText(facts),
    ['quirks', facts.quirks.join(', ') || 'none'],
    ['frames', `${facts.frames} in ${durationText(facts.duration)}`],
    ...Object.entries(facts.framesByEvent).map(([kind, frames]) => [`  ${kind}`, String(frames)]),
    [
      'tasks',
      `${facts.tasks.length}, ${exited} of them exited: ${facts.tasks.map((task) => task.tid).join(' ')}`,
    ],
    [
      'mappings',
      `${facts.mappings}${facts.selfContained ? '' : ', of files that are not in the trace directory'}`,
    ],
    ...facts.approximateCode.map((code, at) => [
      at === 0 ? 'approximate' : '',
      `${describeApproximate(code)}: results differ by processor`,
    ]),
    ['writes', `${facts.memoryWrites}, ${sizeText(facts.dataBytes)}`],
    ['files', `${facts.files.length}, ${sizeText(bytes)}`],
    ...carriers.map((carrier, at) => [at === 0 ? 'machines' : '', carrierText(carrier)]),
  ];
  return formatTable(
    rows.map((row) => row.map(printable)),
    { width },
  );
}
