import { describe, expect, it } from 'vitest';
import { sampleReport, sampleResult } from '../../../test/jobs/sample-report.js';
import { problem } from '../model/result.js';
import { annotations, stepSummary } from './github.js';

describe("GitHub's annotations", () => {
  it('are one line each, at the place in the manifest', () => {
    const lines = annotations(sampleReport(), '/repo').trimEnd().split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[0]).toBe(
      '::error file=revenant.yaml,line=7,title=zen2/diverged::The replay diverged at frame 120.',
    );
    expect(lines[1]).toMatch(/^::error title=zen2\/output::stdout differs at byte 3\.%0A {2}expected: /);
    expect(lines[3]).toBe('::warning title=avx512::Skipped: The machine lacks AVX-512.');
    expect(lines[4]).toMatch(/^::warning title=zen2\/flaky::Passed only at attempt 2/);
  });

  it('are as many as GitHub shows', () => {
    const results = Array.from({ length: 30 }, (_, at) =>
      sampleResult(`t:${at}`, { problems: [problem('status', 'bad')] }),
    );
    const lines = annotations(sampleReport(results), '/repo').trimEnd().split('\n');
    expect(lines).toHaveLength(10);
    expect(lines[0]).toMatch(/title=t%3A0::/);
    expect(lines[9]).toMatch(/21 more/);
  });

  it('come with a summary', () => {
    const text = stepSummary(sampleReport());
    expect(text).toMatch(/^### Replayed traces: 2 passed, 2 failed, 1 with errors, 1 skipped/);
    expect(text).toMatch(/\| zen2\/flaky \| flaky \|/);
    expect(text).not.toMatch(/zen2\/passed/);
  });
});
