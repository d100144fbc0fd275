package wire

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of onnx.proto, by message.
const (
	modelIRVersion       protowire.Number = 1
	modelProducerName    protowire.Number = 2
	modelProducerVersion protowire.Number = 3
	modelDomain          protowire.Number = 4
	modelVersion         protowire.Number = 5
	modelDoc             protowire.Number = 6
	modelGraph           protowire.Number = 7
	modelOpset           protowire.Number = 8
	modelMetadata        protowire.Number = 14
	modelTraining        protowire.Number = 20
	modelFunctions       protowire.Number = 25
	modelConfiguration   protowire.Number = 26

	opsetDomain  protowire.Number = 1
	opsetVersion protowire.Number = 2

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2

	graphNode        protowire.Number = 1
	graphName        protowire.Number = 2
	graphInitializer protowire.Number = 5
	graphInput       protowire.Number = 11
	graphOutput      protowire.Number = 12
	graphValueInfo   protowire.Number = 13
	graphSparse      protowire.Number = 15

	nodeInput     protowire.Number = 1
	nodeOutput    protowire.Number = 2
	nodeName      protowire.Number = 3
	nodeOp        protowire.Number = 4
	nodeAttribute protowire.Number = 5
	nodeDomain    protowire.Number = 7

	attrName    protowire.Number = 1
	attrFloat   protowire.Number = 2
	attrInt     protowire.Number = 3
	attrString  protowire.Number = 4
	attrTensor  protowire.Number = 5
	attrGraph   protowire.Number = 6
	attrFloats  protowire.Number = 7
	attrInts    protowire.Number = 8
	attrStrings protowire.Number = 9
	attrType    protowire.Number = 20
	attrRef     protowire.Number = 21

	tensorDims         protowire.Number = 1
	tensorDType        protowire.Number = 2
	tensorSegment      protowire.Number = 3
	tensorFloatData    protowire.Number = 4
	tensorInt32Data    protowire.Number = 5
	tensorStringData   protowire.Number = 6
	tensorInt64Data    protowire.Number = 7
	tensorName         protowire.Number = 8
	tensorRawData      protowire.Number = 9
	tensorDoubleData   protowire.Number = 10
	tensorUint64Data   protowire.Number = 11
	tensorExternalData protowire.Number = 13
	tensorDataLocation protowire.Number = 14

	valueName protowire.Number = 1
	valueType protowire.Number = 2

	typeTensor   protowire.Number = 1
	typeSequence protowire.Number = 4

	sequenceElem protowire.Number = 1

	tensorTypeElem  protowire.Number = 1
	tensorTypeShape protowire.Number = 2

	shapeDim protowire.Number = 1

	dimValue protowire.Number = 1
	dimParam protowire.Number = 2
)

// Values of AttributeProto.AttributeType.
const (
	kindFloat   = 1
	kindInt     = 2
	kindString  = 3
	kindTensor  = 4
	kindFloats  = 6
	kindInts    = 7
	kindStrings = 8
)

// kindNames are the attribute types of the standard that a Model does not carry.
var kindNames = map[int64]string{
	5: "graph (If, Loop, Scan)", 9: "tensors", 10: "graphs", 11: "sparse tensor", 12: "sparse tensors", 13: "type", 14: "types",
}

// maxBytes is what protobuf allows a message to take.
const maxBytes = 1<<31 - 1
