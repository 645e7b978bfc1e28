import { approximateCode, describeApproximate, type ApproximateCode } from '../approximate-code.js';
import { hex } from '../../engine/base/address.js';
import { ExitCode } from '../../engine/base/errors.js';
import { TraceReader } from '../../engine/trace/reader.js';
import type { Finding } from '../../engine/kvm/probe.js';
import type { TraceHeader } from '../../engine/trace/records.js';
import { traceUse, type TraceUse } from '../../engine/trace/use.js';
import { COMPLETED_FEATURES } from '../../engine/x86/completion.js';
import { LEFT_OUT, type LeftOut } from '../../engine/x86/unraised.js';
import { xcr0Names } from '../../engine/x86/xstate-layout.js';
import type { Examination } from '../../machine/examine.js';
import { announcedInstructions } from '../../machine/instruction-sets.js';
import { MACHINE_KINDS, MACHINE_TITLES } from '../../machine/kinds.js';
import type { Compatibility, TraceRequirements } from '../../machine/requirements.js';
import {
  approximatesOtherwise,
  completesApproximations,
  traceRequirements,
} from '../../machine/requirements.js';
import { surveyMachine, type SurveyedMachine } from '../../machine/survey.js';
import { judgeUse } from '../../machine/use.js';
import { jsonValue } from '../failure.js';
import type { CommandIo } from '../output.js';
import { processorName } from '../../recording/processor.js';
import { printable } from '../printable.js';
import { Progress } from '../progress.js';
import { hang, wrapText } from '../table.js';

export interface DoctorCommandOptions {
  trace?: string;
  cpu?: string;
  completion?: boolean;
  json?: boolean;
}

/** The findings for one machine. */
interface Report extends Omit<SurveyedMachine, 'trial'> {
  /** Only with a trace, and if the machine exists. */
  readonly compatibility: Compatibility | null;
}

/** Width of the label column. */
const LABEL = 14;
/** Most failed checks to list per machine; a KVM that emulates incompletely fails nearly everything. */
const MOST_FAILURES = 8;

/** `revenant doctor [TRACE]`. 0 if some machine is usable (for the trace, if given), else "machine cannot". */
export async function doctorCommand(options: DoctorCommandOptions, io: CommandIo): Promise<number> {
  const { header, use } = options.trace === undefined ? { header: null, use: null } : facts(options.trace);
  const approximate = options.trace === undefined ? [] : approximateCode(options.trace);
  const progress = new Progress(io, false);
  const width = io.columns(1);
  const reports: Report[] = [];
  for (const kind of MACHINE_KINDS) {
    const onStarting = (text: string): void => progress.waiting(text);
    const surveyed = await surveyMachine(
      kind,
      { cpu: options.cpu, completion: options.completion, use, onStarting },
      header,
    );
    reports.push(reportOf(surveyed, header, use, approximate));
  }
  progress.clear();
  const needs = header && traceRequirements(header);
  if (options.json) {
    const trace = needs && {
      directory: options.trace,
      recordedOn: processorName(header),
      needs: needsJson(needs),
    };
    io.out(`${JSON.stringify({ machines: reports.map(reportJson), trace }, jsonValue, 2)}\n`);
  } else {
    io.out(reports.map((each) => machineText(each, width)).join('\n'));
    if (needs) io.out(`\n${traceText(options.trace!, processorName(header), needs, reports, width)}`);
  }
  const usable = reports.some(({ examination, compatibility }) =>
    header ? compatibility?.ok : examination?.passed,
  );
  return usable ? ExitCode.ok : ExitCode.machine;
}

function facts(directory: string): { header: TraceHeader; use: TraceUse } {
  const reader = TraceReader.open(directory);
  try {
    return { header: reader.header, use: traceUse(reader) };
  } finally {
    reader.close();
  }
}

function reportOf(
  { trial, ...surveyed }: SurveyedMachine,
  header: TraceHeader | null,
  use: TraceUse | null,
  approximate: readonly ApproximateCode[],
): Report {
  if (!trial || !header) return { ...surveyed, compatibility: null };
  const unfit = judgeUse(surveyed.kind, use);
  if (!unfit.ok) return { ...surveyed, compatibility: unfit };
  const { compatibility, capabilities } = trial;
  const needs = traceRequirements(header);
  if (approximatesOtherwise(needs, capabilities)) {
    const note = completesApproximations(needs, capabilities)
      ? "completed in software, by the recording vendor's tables"
      : 'results differ on this machine; a replay that executes one may diverge';
    compatibility.notes.push(...approximate.map((code) => `${describeApproximate(code)}: ${note}.`));
  }
  return { ...surveyed, compatibility };
}

/** Failed checks, each once; single CPUID registers are only in --json. */
function failures(findings: Finding[]): string[] {
  const lines = findings
    .filter(({ name, ok }) => !ok && !/^CPUID 0x/.test(name))
    .map(({ name, expected, seen }) => `${name.replace(/ \(.*\)$/, '')}: expected ${expected}, seen ${seen}`);
  return [...new Set(lines)];
}

const xcr0Text = (xcr0: bigint): string => `${hex(xcr0)} (${xcr0Names(xcr0).join(', ')})`;

/** `  label         text`, the text wrapped into its column. */
const fact = (label: string, text: string, width: number): string =>
  hang(`  ${label.padEnd(LABEL)}`, text, width);

function machineText({ kind, problem, hint, examination }: Report, width: number): string {
  if (!examination) {
    const why = [problem, hint].filter((text) => text !== null && text !== undefined);
    return [`${MACHINE_TITLES[kind]}: none`, ...why.map((text) => hang('  ', text, width)), ''].join('\n');
  }
  const { passed, description, xcr0, cpuid, findings, branchCounterProblem, leftOut } = examination;
  const passes = findings.filter((finding) => finding.ok).length;
  const verdict = passed
    ? 'presents the requested processor to programs'
    : 'unusable: programs do not see the requested processor';
  const failed = failures(findings);
  const more = failed.length - MOST_FAILURES;
  const facts: [string, string][] = [
    ['machine', description],
    ['XCR0', xcr0Text(xcr0)],
    ['instructions', announcedInstructions(cpuid).join(' ')],
    ['in software', softwareText(examination)],
    ['ticks', ticksText(branchCounterProblem)],
    ['checks', `${passes} of ${findings.length} passed`],
    ...(leftOut.length > 0 ? [['exceptions', leftOutText(leftOut)] as [string, string]] : []),
    ...failed.slice(0, MOST_FAILURES).map((text): [string, string] => ['FAILED', text]),
    ...(more > 0 ? [['', `and ${more} more (see --json)`] as [string, string]] : []),
  ];
  const lines = [
    `${MACHINE_TITLES[kind]}: ${verdict}`,
    ...facts.map(([label, text]) => fact(label, text, width)),
  ];
  if (problem !== null) lines.push(hang('  ', problem, width));
  return `${lines.join('\n')}\n`;
}

/** What the processor lacks and traces may have. */
function softwareText({ completes, cpuid }: Examination): string {
  if (!completes) return 'nothing: this was built without Zydis (libzydis-dev)';
  const here = new Set(announcedInstructions(cpuid));
  return [...COMPLETED_FEATURES].filter((name) => !here.has(name)).join(' ') || 'nothing is missing';
}

const ticksText = (problem: string | null): string =>
  problem === null
    ? 'counted exactly by the processor'
    : `events are found by registers, or counted with breakpoints: no counter (${problem})`;

const leftOutText = (kinds: readonly LeftOut[]): string =>
  `not all are raised here; completed in replays, most not in diversions: ${kinds.map((kind) => LEFT_OUT[kind]).join(', ')}`;

function layoutText({ layout }: TraceRequirements): string {
  const places = layout.components.map(({ offset, size }, at) => {
    const name = xcr0Names(1n << BigInt(layout.components[at].bit))[0];
    return `${name} at ${offset} (${size})`;
  });
  return [`${layout.size} bytes`, ...places].join(', ');
}

function traceText(
  directory: string,
  recordedOn: string,
  needs: TraceRequirements,
  reports: Report[],
  width: number,
): string {
  const lines = [
    hang('', `${printable(directory)}: recorded on ${printable(recordedOn)}; it needs`, width),
    fact('XCR0', xcr0Text(needs.xcr0), width),
    fact('XSAVE area', layoutText(needs), width),
    fact(
      'CPUID',
      needs.cpuidFaulting ? 'trapped (it was recorded with CPUID faulting)' : 'as recorded',
      width,
    ),
    fact('addresses', `of ${needs.addressBits} bits`, width),
  ];
  for (const { kind, compatibility, problem } of reports) {
    lines.push(`${MACHINE_TITLES[kind]} ${compatibility?.ok ? 'can replay it' : 'cannot replay it'}`);
    const why = compatibility
      ? compatibility.ok
        ? compatibility.notes
        : compatibility.reasons
      : [problem ?? ''];
    for (const text of [...why, ...(compatibility?.hint ? [compatibility.hint] : [])]) {
      const [first, ...rest] = wrapText(text, width - 4);
      lines.push(`  ${first}`, ...rest.map((line) => `    ${line}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

function needsJson(needs: TraceRequirements): object {
  const { xcr0, layout, cpuidFaulting, addressBits, cpuid } = needs;
  const components = layout.components.map(({ bit, offset, size }) => ({ bit, offset, size }));
  return {
    xcr0,
    features: xcr0Names(xcr0),
    xsave: { size: layout.size, components },
    cpuidFaulting,
    addressBits,
    instructions: announcedInstructions(cpuid),
  };
}

function reportJson({ kind, problem, hint, examination, compatibility }: Report): object {
  const delivers = examination && {
    description: examination.description,
    trusted: examination.passed,
    xcr0: examination.xcr0,
    features: xcr0Names(examination.xcr0),
    instructions: announcedInstructions(examination.cpuid),
    branchCounter: examination.branchCounterProblem === null,
    findings: examination.findings,
  };
  return {
    kind,
    problem,
    hint,
    delivers,
    trace: compatibility && { canReplay: compatibility.ok, ...compatibility },
  };
}
