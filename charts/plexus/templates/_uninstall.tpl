{{/*
Changes the DaemonSet into its uninstallation, as kustomize does with the same file: a list of objects
with names is merged by name, null removes a key, and "$patch: delete" an element.
Arguments: the root context, the DaemonSet.
*/}}
{{- define "plexus.uninstall" -}}
{{- $patch := fromYaml ((index . 0).Files.Get "manifests/uninstall.yaml") }}
{{- $set := index . 1 }}
{{- $_ := set $set.spec.updateStrategy.rollingUpdate "maxUnavailable" $patch.spec.updateStrategy.rollingUpdate.maxUnavailable }}
{{- $pod := $set.spec.template.spec }}
{{- $wanted := $patch.spec.template.spec }}
{{- $_ := set $pod "terminationGracePeriodSeconds" $wanted.terminationGracePeriodSeconds }}
{{- range $list := list "initContainers" "containers" }}
{{- include "plexus.delete" (list $pod $wanted $list "name") }}
{{- end }}
{{- range $container := concat $pod.initContainers $pod.containers }}
{{- range $change := concat $wanted.initContainers $wanted.containers }}
{{- if eq $change.name $container.name }}
{{- range $key, $value := $change }}
{{- if eq $key "volumeMounts" }}{{ include "plexus.delete" (list $container $change "volumeMounts" "mountPath") }}
{{- else if kindIs "invalid" $value }}{{ $_ := unset $container $key }}
{{- else }}{{ $_ := set $container $key $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "plexus.delete" (list $pod $wanted "volumes" "name") }}
{{- end }}

{{/*
Removes from a list what the patch deletes. Arguments: the object, its patch, the list's key, the key of an element's name.
*/}}
{{- define "plexus.delete" -}}
{{- $object := index . 0 }}{{ $patch := index . 1 }}{{ $list := index . 2 }}{{ $key := index . 3 }}
{{- $deleted := list }}
{{- range get $patch $list }}
{{- if eq (get . "$patch") "delete" }}{{ $deleted = append $deleted (get . $key) }}{{ end }}
{{- end }}
{{- $kept := list }}
{{- range get $object $list }}
{{- if not (has (get . $key) $deleted) }}{{ $kept = append $kept . }}{{ end }}
{{- end }}
{{- $_ := set $object $list $kept }}
{{- end }}
