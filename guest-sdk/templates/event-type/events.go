
// {{Type}} is the data of `{{type}}`. Until it has fields, it accepts every object.
type {{Type}} struct{}
