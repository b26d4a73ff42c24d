package servers

// GroupMembers lets tests see which processes of an instance are left.
var GroupMembers = groupMembers
