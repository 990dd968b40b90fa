{{/* The labels of every object, as conf/base/kustomization.yaml sets them. */}}
{{- define "plexus.labels" -}}
app.kubernetes.io/name: plexus
app.kubernetes.io/part-of: plexus
{{- end }}

{{- define "plexus.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The CNI directories of a distribution: the same as in conf/overlays. */}}
{{- define "plexus.directories" -}}
standard: {conf: /etc/cni/net.d, bin: /opt/cni/bin}
k3s: {conf: /var/lib/rancher/k3s/agent/etc/cni/net.d, bin: /var/lib/rancher/k3s/data/cni}
microk8s: {conf: /var/snap/microk8s/current/args/cni-network, bin: /var/snap/microk8s/current/opt/cni/bin}
microshift: {conf: /etc/cni/net.d, bin: /run/cni/bin}
openshift: {conf: /etc/kubernetes/cni/net.d, bin: /var/lib/cni/bin}
{{- end }}

{{- define "plexus.confDir" -}}
{{- .Values.cni.confDir | default (get (include "plexus.directories" . | fromYaml) .Values.distribution).conf -}}
{{- end }}

{{- define "plexus.binDir" -}}
{{- .Values.cni.binDir | default (get (include "plexus.directories" . | fromYaml) .Values.distribution).bin -}}
{{- end }}

{{/*
The objects of one file of the manifests, in the release's namespace and with the labels of every object.
Arguments: the root context, the file.
*/}}
{{- define "plexus.objects" -}}
{{- $root := index . 0 }}
{{- range regexSplit "(?m)^---$" ($root.Files.Get (index . 1)) -1 }}
{{- $object := fromYaml . }}
{{- if hasKey $object.metadata "namespace" }}{{ $_ := set $object.metadata "namespace" $root.Release.Namespace }}{{ end }}
{{- $_ := set $object.metadata "labels" (merge (include "plexus.labels" $root | fromYaml) ($object.metadata.labels | default dict)) }}
{{- range $object.subjects }}{{ $_ := set . "namespace" $root.Release.Namespace }}{{ end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}

{{/*
Adds the volumes of a component of the manifests to the DaemonSet, and mounts them into the containers that it names.
Arguments: the root context, the DaemonSet, the file.
*/}}
{{- define "plexus.mount" -}}
{{- $pod := (index . 1).spec.template.spec }}
{{- $wanted := (fromYaml ((index . 0).Files.Get (index . 2))).spec.template.spec }}
{{- range $change := $wanted.containers }}
{{- range $container := $pod.containers }}
{{- if eq $change.name $container.name }}{{ $_ := set $container "volumeMounts" (concat $container.volumeMounts $change.volumeMounts) }}{{ end }}
{{- end }}
{{- end }}
{{- $_ := set $pod "volumes" (concat $pod.volumes $wanted.volumes) }}
{{- end }}
