/**
 * `npm run audit`: asks the registry for advisories on the versions in package-lock.json, and compares them with
 * accepted-advisories.json, which has a reason and a review date for each accepted one.
 *
 * Exits with 1 if an advisory of `moderate` or worse is not accepted, if a review date has passed, or if an accepted advisory
 * is no longer reported (so that the list stays true). A registry without audits is reported and counts as skipped. Tested in audit.test.ts.
 */
// @ts-check
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const [folder = join(here, '../..'), list = join(here, 'accepted-advisories.json')] = process.argv.slice(2);
/** @type {{ advisory: string, package: string, reason: string, until: string }[]} */
const accepted = JSON.parse(readFileSync(list, 'utf8'));

const { stdout } = spawnSync('npm', ['audit', '--json'], { cwd: folder, encoding: 'utf8', maxBuffer: 64 << 20 });
/** @type {{ message?: string, error?: object, vulnerabilities?: Record<string, { via: (string | { url: string, title: string, severity: string, name: string })[] }> }} */
let report;
try {
  report = JSON.parse(stdout);
} catch {
  report = { message: 'npm gave no report' };
}
if (report.vulnerabilities === undefined) {
  process.stdout.write(`skipped: npm audit (skipped: ${(report.message ?? 'the registry answers no audits').split(/\n| - /)[0]})\n`);
  process.exit(0);
}

/** @type {Map<string, { name: string, title: string, severity: string }>} */
const advisories = new Map();
for (const { via } of Object.values(report.vulnerabilities)) {
  for (const cause of via)
    if (typeof cause !== 'string' && ['moderate', 'high', 'critical'].includes(cause.severity))
      advisories.set(cause.url.split('/').at(-1) ?? cause.url, cause);
}
const today = new Date().toISOString().slice(0, 10);
const faults = [
  ...[...advisories]
    .filter(([id]) => !accepted.some(({ advisory }) => advisory === id))
    .map(([id, { name, title, severity }]) => `${id} (${severity}) in ${name}: ${title}`),
  ...accepted
    .filter(({ advisory }) => !advisories.has(advisory))
    .map(({ advisory }) => `${advisory} is accepted but no longer reported: take it off the list`),
  ...accepted
    .filter(({ until }) => until < today)
    .map(({ advisory, until }) => `the reason for ${advisory} ran out on ${until}: look again`),
  ...accepted.filter(({ reason }) => reason.trim().length < 20).map(({ advisory }) => `${advisory} is accepted without a reason`),
];
for (const fault of faults) process.stdout.write(`audit: ${fault}\n`);
if (faults.length === 0) process.stdout.write(`audit: ${advisories.size} advisories of moderate or worse, all accepted with a reason\n`);
process.exit(faults.length === 0 ? 0 : 1);
