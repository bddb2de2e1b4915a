/** kubectl through the gateway, and directly, against a real Kubernetes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { Result, SessionRow } from '../end-to-end/machine.js';
import { lacking, startKubernetes } from './kubernetes.js';
import type { Kubernetes } from './kubernetes.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);

const box = (name: string, namespace = 'default'): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: "localhost/busybox:1", imagePullPolicy: Never, command: [sh, -c, "echo started; sleep 100000"]}]
`;

describe.skipIf(lacking !== null)('kubectl through the gateway', () => {
  let kubernetes: Kubernetes;
  let steno: Steno;
  const through = (...args: readonly string[]): Promise<Result> => steno.exec(kubernetes.kubectl, args);
  const direct = (...args: readonly string[]): Promise<Result> =>
    steno.exec(kubernetes.kubectl, ['--kubeconfig', kubernetes.admin, ...args]);
  const done = async (asked: Promise<Result>): Promise<string> => {
    const { status, stdout, stderr } = await asked;
    if (status !== 0) throw new Error(`${status}: ${stderr}${stdout}\n${steno.logs()}`);
    return stdout;
  };
  const file = (name: string, text: string): string => {
    const path = join(steno.folder, name);
    writeFileSync(path, text);
    return path;
  };
  const rules = async (...allow: readonly object[]): Promise<void> => {
    const path = file('role.json', JSON.stringify({ kind: 'role', name: 'kube', allow: { kubernetes: allow } }));
    await done(steno.steno('apply', '-f', path));
  };
  const everything = { groups: ['system:masters'] };

  beforeAll(async () => {
    steno = new Steno();
    kubernetes = await startKubernetes();
    await steno.start('--no-node', '--kube-listen', '127.0.0.1:0');
    await done(steno.steno('login', '--data', steno.data));
    await rules(everything);
    await done(steno.steno('users', 'edit', steno.login, '--roles', 'admin,kube'));
    await done(steno.steno('login', '--data', steno.data));
    await done(steno.steno('kube', 'add', 'east', '--kubeconfig', kubernetes.admin, '--labels', 'env=dev'));
    await done(steno.steno('kube', 'login', 'east'));
    await done(direct('apply', '-f', file('box.yaml', box('box'))));
    await done(direct('wait', '--for=condition=Ready', 'pod/box', '--timeout=90s'));
  }, 300_000);
  afterAll(async () => {
    await steno?.dispose();
    kubernetes?.close();
  }, 60_000);

  it('is written into the kubeconfig without a secret, and the cluster is listed', async () => {
    expect(await steno.json('kube', 'ls')).toMatchObject([{ name: 'east', labels: { env: 'dev' } }]);
    const written = readFileSync(join(steno.folder, '.kube/config'), 'utf8');
    expect(written).toContain('client.authentication.k8s.io/v1');
    expect(written).not.toMatch(/PRIVATE|client-key|token:/);
  });

  it.each([
    ['get', 'namespaces', '-o', 'name'],
    ['get', 'pod', 'box', '-o', 'jsonpath={.spec.nodeName}'],
    ['get', 'pods', '-A', '--no-headers', '-o', 'custom-columns=NAME:.metadata.name'],
    ['explain', 'pod.spec.containers.image'],
    ['api-resources', '--no-headers', '-o', 'name'],
    ['version'],
    ['auth', 'can-i', 'delete', 'nodes'],
    ['logs', 'box'],
    ['get', '--raw', '/readyz'],
    ['get', 'pod', 'absent'],
    ['rollout', 'status', 'deployment/absent'],
  ])('prints what it prints without the gateway: %s %s %s', async (...args) => {
    const [ours, theirs] = [await through(...args), await direct(...args)];
    expect(ours).toEqual(theirs);
  });

  it('creates, applies, patches, scales, watches and deletes', async () => {
    await done(through('create', 'namespace', 'shop'));
    await done(through('apply', '--server-side', '-f', file('web.yaml', box('web', 'shop'))));
    await done(through('wait', '--for=condition=Ready', 'pod/web', '-n', 'shop', '--timeout=90s'));
    await done(through('label', 'pod', 'web', '-n', 'shop', 'tier=front'));
    expect(await done(direct('get', 'pod', 'web', '-n', 'shop', '-o', 'jsonpath={.metadata.labels.tier}'))).toBe('front');
    await done(through('delete', 'pod', 'web', '-n', 'shop'));
    expect(await done(through('get', 'pods', '-n', 'shop', '-o', 'name'))).toBe('');
  });

  it('is the user and the groups of the role to the API server, whatever --as says', async () => {
    const who = JSON.parse(await done(through('auth', 'whoami', '-o', 'json', '--as', 'somebody', '--as-group', 'others'))) as {
      status: { userInfo: { username: string; groups: string[] } };
    };
    expect(who.status.userInfo).toMatchObject({ username: `steno:${steno.login}`, groups: ['system:masters', 'system:authenticated'] });
  });

  it('is refused in the words of the role, before the API server is asked', async () => {
    await rules({ ...everything, namespaces: ['shop'], resources: ['pods', 'configmaps'], verbs: ['get', 'list', 'create'] });
    const refusals = await eventually(
      () =>
        Promise.all([through('get', 'secrets'), through('get', 'pods', '-A'), through('delete', 'pod', 'box'), through('get', 'nodes')]),
      (all) => all.every(({ status }) => status !== 0),
    );
    for (const { stderr } of refusals) expect(stderr).toMatch(/Error from server \(Forbidden\).*no role of .* allows .*\[ACCESS_DENIED\]/);
    expect(await done(through('get', 'pods', '-n', 'shop', '-o', 'name'))).toBe('');
    expect((await through('exec', 'box', '--', 'true')).stderr).toMatch(/ACCESS_DENIED/);
    await rules(everything);
    await eventually(
      () => through('get', 'pods', '-A'),
      ({ status }) => status === 0,
    );
  });

  it('does not pass on what is not recorded', async () => {
    for (const args of [
      ['port-forward', 'pod/box', ':80'],
      ['get', '--raw', '/api/v1/nodes/node1/proxy'],
    ])
      expect(await through(...args)).toMatchObject({ status: 1, stderr: expect.stringMatching(/KUBE_UNSUPPORTED/) as string });
    const spdy = await steno.exec(kubernetes.kubectl, ['exec', 'box', '--', 'true'], {
      env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' },
    });
    expect(spdy).toMatchObject({ status: 1, stderr: expect.stringMatching(/KUBE_UNSUPPORTED/) as string });
  });

  describe('exec and attach', () => {
    const sessions = async (command: RegExp): Promise<SessionRow> => {
      const found = await eventually(
        () => steno.json<SessionRow[]>('sessions'),
        (rows) => rows.some((row) => command.test(row.command) && row.state !== 'live'),
      );
      return found.find((row) => command.test(row.command))!;
    };

    it('without a terminal: output, errors, input, half-close and exit code as without the gateway, and all of it recorded', async () => {
      const script = 'cat; echo oops >&2; exit 7';
      const run = (asked: readonly string[]): Promise<Result> =>
        steno.exec(kubernetes.kubectl, [...asked, 'exec', '-i', 'box', '--', 'sh', '-c', script], { input: 'from stdin\n' });
      const [ours, theirs] = [await run([]), await run(['--kubeconfig', kubernetes.admin])];
      expect(ours).toEqual(theirs);
      expect(ours).toMatchObject({ status: 7, stdout: 'from stdin\n' });
      const row = await sessions(/oops/);
      expect(row).toMatchObject({
        kind: 'exec',
        user: steno.login,
        node: 'east/default/box',
        login: `steno:${steno.login}`,
        exit_code: 7,
        tty: false,
      });
      const seen = await eventually(
        () => steno.json<{ session: string; text: string }[]>('search', 'oops'),
        (hits) => hits.some(({ session }) => session === row.id),
      );
      expect(seen.find(({ session }) => session === row.id)!.text).toContain('oops');
    });

    it('with a terminal: keys, size and output; found by what was on the screen', async () => {
      const shell = steno.terminal(kubernetes.kubectl, ['exec', '-it', 'box', '--', 'sh'], { cols: 100, rows: 30 });
      await shell.until(/# /);
      shell.write("stty size; echo mar''ker-one\r");
      await shell.until(/30 100\r\nmarker-one/);
      shell.write('exit 3\r');
      expect(await shell.ended).toBe(3);
      const hits = await eventually(
        () => steno.json<{ session: string }[]>('search', 'marker-one'),
        (found) => found.length > 0,
      );
      const row = (await steno.json<SessionRow[]>('sessions')).find(({ id }) => id === hits[0]!.session);
      expect(row).toMatchObject({ command: 'sh', tty: true, node: 'east/default/box', exit_code: 3 });
    });

    it('copies files both ways', async () => {
      const [from, back] = [file('file', 'x'.repeat(300_000)), join(steno.folder, 'back')];
      await done(through('cp', from, 'box:/tmp/file'));
      await done(through('cp', 'box:/tmp/file', back));
      expect(readFileSync(back, 'utf8')).toBe(readFileSync(from, 'utf8'));
    });

    it('a pod that is not there, and a command that is not, say what they say without the gateway', async () => {
      for (const args of [
        ['exec', 'absent', '--', 'true'],
        ['exec', 'box', '--', 'absent-program'],
      ]) {
        const [ours, theirs] = [await through(...args), await direct(...args)];
        expect(ours.status).toBe(theirs.status);
        expect(ours.stderr.replace(/[0-9a-f]{64}/g, '')).toBe(theirs.stderr.replace(/[0-9a-f]{64}/g, ''));
      }
    });

    it('is frozen, thawed and ended by the verbs for sessions', async () => {
      const shell = steno.terminal(kubernetes.kubectl, ['exec', '-it', 'box', '--', 'sh', '-c', "echo fro''zen-shell; exec sh"]);
      await shell.until(/frozen-shell/);
      const live = await eventually(
        () => steno.json<SessionRow[]>('sessions'),
        (rows) => rows.some(({ state, command }) => state === 'live' && command.includes('zen-shell')),
      );
      const { id } = live.find(({ state, command }) => state === 'live' && command.includes('zen-shell'))!;
      await done(steno.steno('sessions', 'freeze', id, '--reason', 'look'));
      await shell.until(/is frozen/);
      // Said again while typing, at most every five seconds: then keys have arrived, and were discarded.
      await eventually(
        async () => {
          shell.write('touch /tmp/ran-while-frozen\r');
          return shell.text();
        },
        (text) => text.split('is frozen').length > 2,
      );
      await done(steno.steno('sessions', 'unfreeze', id));
      await shell.until(/no longer frozen/);
      shell.write('ls /tmp/ran-while-frozen; echo thawed-$((1+1))\r');
      await shell.until(/thawed-2/);
      expect(shell.text()).toMatch(/ran-while-frozen: No such file/);
      await done(steno.steno('sessions', 'end', id, '--reason', 'enough'));
      await shell.ended;
      expect(shell.text()).toMatch(/enough \[LOCKED\]/);
    });
  });

  it('a cluster that is removed is gone for kubectl as well, until it is added again', async () => {
    await done(steno.steno('kube', 'rm', 'east'));
    await eventually(
      () => through('get', 'pods'),
      ({ stderr }) => stderr.includes('KUBE_CLUSTER_UNKNOWN'),
    );
    await done(steno.steno('kube', 'add', 'east', '--kubeconfig', kubernetes.admin));
    await eventually(
      () => through('get', 'pods'),
      ({ status }) => status === 0,
    );
  });

  it('a role that changes ends a watch that is open, and refuses what follows', async () => {
    const watch = steno.terminal(kubernetes.kubectl, ['get', 'pods', '--watch']);
    await watch.until(/box/);
    await rules({ ...everything, resources: ['configmaps'] });
    await watch.ended;
    expect((await through('get', 'pods')).stderr).toMatch(/ACCESS_DENIED/);
  });

  // Last: the embedded store belongs to one process at a time.
  it('every request is in the event store, refused ones too, under the id that the cluster audits it by', async () => {
    await steno.stop();
    const store = await openEventStore({ kind: 'chdb', path: join(steno.data, 'store/events') });
    try {
      const { rows } = await store.events({ kinds: ['kube'], session: '', limit: 1000 });
      const about = (name: string, outcome: string) => rows.filter((row) => row.name === name && row.outcome === outcome);
      expect(about('list pods', 'success')[0]).toMatchObject({
        user: steno.login,
        cluster: 'east',
        emitter: 'gateway/local',
        source: 'kubernetes',
      });
      expect(about('list pods', 'failure')[0]).toMatchObject({ reason: 'ACCESS_DENIED' });
      expect(JSON.parse(about('create pods/exec', 'success')[0]!.data)).toMatchObject({
        code: 101,
        audit_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        session: expect.stringMatching(/^[0-9a-z]{26}$/) as string,
      });
      expect(new Set(rows.map(({ block, index }) => `${block} ${index}`)).size).toBe(rows.length);
    } finally {
      await store.close();
    }
  });
});
