package servers

// GroupMembers lets tests see which processes of an instance are left.
var GroupMembers = groupMembers

// RunDir is where an instance keeps its sockets.
var RunDir = (*Dovecot).runDir
