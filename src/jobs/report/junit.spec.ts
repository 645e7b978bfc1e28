import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { NASTY, sampleReport, sampleResult } from '../../../test/jobs/sample-report.js';
import { problem } from '../model/result.js';
import { junitXml } from './junit.js';

const schema = path.resolve(import.meta.dirname, '../../../test/jobs/junit.xsd');
const haveXmllint = spawnSync('xmllint', ['--version']).status === 0;

describe('JUnit XML', () => {
  it.skipIf(!haveXmllint)('validates with any names and outputs (skipped without xmllint)', () => {
    const nasty = sampleResult(NASTY, { problems: [problem('status', NASTY)] });
    const report = sampleReport();
    report.results.push(nasty);
    const input = junitXml(report);
    const { status, stderr } = spawnSync('xmllint', ['--noout', '--schema', schema, '-'], {
      input,
      encoding: 'utf8',
    });
    expect(stderr).toMatch(/validates/);
    expect(status).toBe(0);
  });

  it('counts failures, errors and skipped separately', () => {
    const xml = junitXml(sampleReport());
    expect(xml).toMatch(/tests="6" failures="2" errors="1" skipped="1" time="12.346"/);
    expect(xml).toMatch(/timestamp="2026-01-02T03:04:05"/);
    expect(xml).toMatch(/<testcase name="passed" classname="zen2" time="1.500"\/>/);
    expect(xml).toMatch(/<failure message="The replay diverged at frame 120." type="E_DIVERGED">/);
    expect(xml).toMatch(/Defined in \/repo\/revenant.yaml:7/);
    expect(xml).toMatch(/<error message="Not done after 600 s." type="timeout">/);
    expect(xml).toMatch(/<skipped message="The machine lacks AVX-512."\/>/);
  });
});
