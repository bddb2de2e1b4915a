"""What scripts do with Kubernetes' client in Python, and what came of it as JSON: `client.py KUBECONFIG`. Run through the gateway and without."""
import json
import re
import sys
import time

from kubernetes import client, config, watch
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import portforward, stream

config.load_kube_config(config_file=sys.argv[1])
v1 = client.CoreV1Api()
found = {}


def claim(name):
    def run(ask):
        try:
            found[name] = ask()
        except Exception as error:  # What a script would see of it, without what differs from one run to the next.
            text = re.sub(r"'(audit-id|date)': '[^']*'", r"'\1': ''", str(error)).replace(", 'connection': 'close'", '')
            found[name] = f'{type(error).__name__}: {text}'
    return run


def execute(**words):
    return stream(v1.connect_get_namespaced_pod_exec, 'box', 'default', **words)


@claim('version, groups and resources, as clients that are generated ask for them')
def _():
    groups = client.ApisApi().get_api_versions().groups
    core = v1.get_api_resources().resources
    apps = client.AppsApi().get_api_group().versions
    return [client.VersionApi().get_code().git_version, client.CoreApi().get_api_versions().versions, len(groups), len(core), len(apps)]


@claim('lists')
def _():
    return [pod.metadata.name for pod in v1.list_namespaced_pod('default').items]


@claim('the dynamic client')
def _():
    pods = DynamicClient(client.ApiClient()).resources.get(api_version='v1', kind='Pod')
    return [pod.metadata.name for pod in pods.get(namespace='default').items]


@claim('exec, whose output is text of both kinds')
def _():
    text = execute(command=['sh', '-c', 'echo out; echo ünï; echo err >&2'], stderr=True, stdin=False, stdout=True, tty=False)
    return sorted(text.split('\n'))


@claim('exec with input line by line, and its exit code')
def _():
    shell = execute(command=['sh'], stderr=True, stdin=True, stdout=True, tty=False, _preload_content=False)
    shell.write_stdin('echo got-ünï\n')
    line = shell.readline_stdout(timeout=30)
    shell.write_stdin('exit 7\n')
    shell.run_forever(timeout=30)
    return [line, shell.returncode, shell.subprotocol]


@claim('a terminal that asks for errors beside its output')
def _():
    shell = execute(command=['sh'], stderr=True, stdin=True, stdout=True, tty=True, _preload_content=False)
    shell.write_channel(4, json.dumps({'Width': 100, 'Height': 30}))
    shell.write_stdin('stty size\r')
    seen, limit = '', time.time() + 30
    while '30 100' not in seen and time.time() < limit:
        shell.update(timeout=1)
        seen += shell.read_stdout()
    shell.write_stdin('exit 3\r')
    shell.run_forever(timeout=30)
    return ['30 100' in seen, shell.returncode]


@claim('exec in a pod that is not there')
def _():
    return stream(v1.connect_get_namespaced_pod_exec, 'absent', 'default', command=['true'], stdout=True)


@claim('a watch')
def _():
    # Without a start version, an API server on an old etcd waits for a version that does not exist yet.
    for event in watch.Watch().stream(v1.list_namespaced_pod, 'default', resource_version='0', timeout_seconds=30):
        return [event['type'], event['object'].metadata.name]


@claim('a forwarded port')
def _():
    port = portforward(v1.connect_get_namespaced_pod_portforward, 'box', 'default', ports='8080').socket(8080)
    port.settimeout(30)
    port.sendall(b'GET /file HTTP/1.0\r\n\r\n')
    got = b''
    while chunk := port.recv(65536):
        got += chunk
    return [got[:15].decode(), len(got.split(b'\r\n\r\n', 1)[1])]


@claim('patches, and what was logged')
def _():
    patched = v1.patch_namespaced_pod('box', 'default', {'metadata': {'labels': {'patched': 'yes'}}})
    return [patched.metadata.labels['patched'], v1.read_namespaced_pod_log('box', 'default')]


@claim('an object that is not there')
def _():
    try:
        v1.read_namespaced_pod('absent', 'default')
    except client.ApiException as error:
        return [error.status, json.loads(error.body)['message']]


print(json.dumps(found))
