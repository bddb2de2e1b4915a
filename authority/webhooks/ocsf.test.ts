import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import { severities } from '#schemas/events/rows.js';
import { ocsfFinding, ocsfMessage } from './ocsf.js';

const text = fc.string({ unit: 'grapheme', maxLength: 60 });
const finding: fc.Arbitrary<AnnouncedFinding> = fc.record({
  ...{ id: fc.constant('f1'), rule: text, rule_version: fc.nat(), severity: fc.constantFrom(...severities), tier: text },
  ...{
    techniques: fc.uniqueArray(fc.constantFrom('T1003.008', 'T1059', 'T1071')),
    session: fc.constantFrom('', '01jdv3k5m8q2w7x9y4z6a0b1c2'),
  },
  ...{ user: text, node: text, login: text, at: fc.integer({ min: 0, max: 4_102_444_800_000 }), offset_ms: fc.option(fc.nat()) },
  ...{ title: text, reason: text, advice: text },
});
const web = 'https://steno.example';
/** Python with py-ocsf-models, as in `/path/to/venv/bin/python`. */
const python = process.env['STENO_TEST_OCSF_PYTHON'];

test('a finding is one line, with a type that follows from class and activity', () => {
  fc.assert(
    fc.property(finding, (one) => {
      const { body, headers } = ocsfMessage(one, web, '7', 'the token', 1);
      expect(body.match(/\n/g)).toHaveLength(1);
      expect(body.endsWith('\n')).toBe(true);
      expect(headers).toMatchObject({ authorization: 'Bearer the token', 'content-type': 'application/x-ndjson' });
      const event = JSON.parse(body) as Record<string, number>;
      expect(event['type_uid']).toBe(event['class_uid']! * 100 + event['activity_id']!);
      expect(event['severity_id']).toBe(severities.indexOf(one.severity) + 1);
      expect(event['time']).toBe(one.at);
    }),
  );
});

test.skipIf(python === undefined)('what is sent of any finding is valid by the models of py-ocsf-models', () => {
  const lines = fc.sample(finding, 300).map((one) => JSON.stringify(ocsfFinding(one, web, 1)));
  const program =
    'import sys\nfrom py_ocsf_models.events.findings.detection_finding import DetectionFinding\nn=0\nfor line in sys.stdin:\n  DetectionFinding.model_validate_json(line); n+=1\nprint(n)\n';
  const { stdout, stderr } = spawnSync(python!, ['-c', program], { input: `${lines.join('\n')}\n`, encoding: 'utf8', timeout: 60_000 });
  expect([stdout.trim(), stderr]).toEqual(['300', '']);
});
