// Command oracle asks the Kubernetes API server's own code what it thinks of custom resources: it reads CRDs from the
// folder that is its argument and objects from standard input, and writes a verdict on each, one JSON object a line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// version is one served version of a kind.
type version struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
	namespaced bool
	hasStatus  bool
}

// verdict is what main.rs reads.
type verdict struct {
	Name    string   `json:"name"`
	Unknown []string `json:"unknown,omitempty"`
	Errors  []string `json:"errors,omitempty"`
	Spec    any      `json:"spec,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: oracle CRD-FOLDER < objects.jsonl > verdicts.jsonl")
	}
	versions, err := readVersions(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		var in struct {
			Name   string         `json:"name"`
			Object map[string]any `json:"object"`
		}
		if err := kjson.Unmarshal(lines.Bytes(), &in); err != nil {
			log.Fatal(err)
		}
		object := &unstructured.Unstructured{Object: in.Object}
		known, ok := versions[object.GetAPIVersion()+"/"+object.GetKind()]
		if !ok {
			log.Fatalf("%s: no kind %s in %s", in.Name, object.GetKind(), object.GetAPIVersion())
		}
		if err := out.Encode(known.judge(in.Name, object)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

// readVersions compiles every version of every CRD, and reports what is wrong with a CRD itself.
func readVersions(folder string) (map[string]version, error) {
	versions := map[string]version{}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var crd apiextv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := checkCRD(file, &crd); err != nil {
			return nil, err
		}
		for _, v := range crd.Spec.Versions {
			compiled, err := compile(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			compiled.namespaced = crd.Spec.Scope == apiextv1.NamespaceScoped
			versions[crd.Spec.Group+"/"+v.Name+"/"+crd.Spec.Names.Kind] = compiled
		}
	}
	return versions, nil
}

func checkCRD(file string, crd *apiextv1.CustomResourceDefinition) error {
	apiextv1.SetDefaults_CustomResourceDefinition(crd)
	apiextv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	var internal apiextensions.CustomResourceDefinition
	if err := apiextv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, &internal, nil); err != nil {
		return err
	}
	internal.Status.StoredVersions = nil
	for _, v := range internal.Spec.Versions {
		if v.Storage {
			internal.Status.StoredVersions = []string{v.Name}
		}
	}
	for _, problem := range crdvalidation.ValidateCustomResourceDefinition(context.Background(), &internal) {
		fmt.Fprintln(os.Stderr, file, problem)
	}
	return nil
}

func compile(v apiextv1.CustomResourceDefinitionVersion) (version, error) {
	var props apiextensions.JSONSchemaProps
	if err := apiextv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil); err != nil {
		return version{}, err
	}
	structural, err := structuralschema.NewStructural(&props)
	if err != nil {
		return version{}, err
	}
	validator, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return version{}, err
	}
	return version{
		structural: structural,
		validator:  validator,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
		hasStatus:  v.Subresources != nil && v.Subresources.Status != nil,
	}, nil
}

// judge does what the API server does when an object is created with strict field validation.
func (v version) judge(name string, object *unstructured.Unstructured) verdict {
	content := object.Object
	defaulting.PruneNonNullableNullsWithoutDefaults(content, v.structural)
	defaulting.Default(content, v.structural)
	track := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown := pruning.PruneWithOptions(content, v.structural, true, track)
	coerce := objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true}
	unreadable, more := objectmeta.CoerceWithOptions(nil, content, v.structural, true, coerce)
	result := verdict{Name: name, Unknown: append(unknown, more...)}
	if unreadable != nil {
		result.Errors = names(field.ErrorList{unreadable})
		return result
	}
	if v.hasStatus {
		delete(content, "status")
	}
	result.Errors = names(v.validate(object))
	unchanged := !strings.Contains(name, " ")
	if unchanged && len(result.Errors) == 0 && len(result.Unknown) == 0 {
		result.Spec = content["spec"]
	}
	return result
}

func (v version) validate(object *unstructured.Unstructured) field.ErrorList {
	content := object.Object
	metadata := field.NewPath("metadata")
	errs := apivalidation.ValidateObjectMetaAccessor(object, v.namespaced, apivalidation.NameIsDNSSubdomain, metadata)
	errs = slices.DeleteFunc(errs, func(e *field.Error) bool {
		return e.Field == "metadata.namespace" && e.Type == field.ErrorTypeRequired
	})
	errs = append(errs, validation.ValidateCustomResource(nil, content, v.validator)...)
	errs = append(errs, objectmeta.Validate(nil, content, v.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, v.structural, content)...)
	blocked := slices.ContainsFunc(errs, func(e *field.Error) bool {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
		return false
	})
	if !blocked {
		broken, _ := v.rules.Validate(context.Background(), nil, v.structural, content, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	return errs
}

var (
	// mapKey finds a key of a map, which some errors write like a field.
	mapKey = regexp.MustCompile(`\.(labels|annotations|options|matchLabels)\.(.*[./-].*)$`)
	// quoted finds the path within the text of an error that has none.
	quoted = regexp.MustCompile(`^<nil>: Invalid value: "": "([^"]*)" must not validate`)
)

// names gives each error as "type field", sorted, with the differences that README.md names evened out.
func names(errs field.ErrorList) []string {
	wrongType := map[string]bool{}
	for _, e := range errs {
		if e.Type == field.ErrorTypeTypeInvalid {
			wrongType[e.Field] = true
		}
	}
	var out []string
	for _, e := range errs {
		path := mapKey.ReplaceAllString(e.Field, ".$1[$2]")
		if match := quoted.FindStringSubmatch(e.Error()); match != nil {
			path = match[1]
		}
		name := string(e.Type) + " " + path
		switch {
		case strings.Contains(e.Error(), "must validate"):
			continue
		case e.Type == field.ErrorTypeInvalid && wrongType[path]:
			continue
		case strings.HasPrefix(path, "metadata"):
			name = "metadata"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
